"""The `hallmark` command: what it can do, and how it ends.

Exit codes: 0 done, and the named policy is met; 1 the named policy is not met; 2 the input cannot be used;
3 it cannot be done now; 4 something does not verify.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from hallmark import __version__
from hallmark.apps.cli.output import complain, tolerant
from hallmark.core.errors import HallmarkError, Held, Unavailable, VerificationFailed

DEFAULT_HOME = "~/.hallmark"
# command: (module, function, one line of help); modules load when their command is called, so that start-up
# stays short.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("network", "Start a network on this machine and ask it a question."),
    "down": ("status", "Stop the network."),
    "status": ("status", "Show every service with its state."),
    "ask": ("ask", "Ask a language model."),
    "infer": ("ask", "Run a tensor model."),
    "draw": ("draw", "Have a model draw images, each a file."),
    "models": ("models", "List the models and who can serve them; search among them."),
    "proxy": ("proxy", "A local server for any OpenAI client; it seals questions to enclaves."),
    "steering": ("steering", "Whether the gateway steers, by its route tickets and the log."),
    "wallet": ("wallet", "A wallet that pays for answers: balance, deposit, withdraw, history."),
    "receipt": ("receipt", "Show one receipt's marks as they are now, or make a receipt of an answer."),
    "verify": ("verify", "Verify a saved receipt, offline."),
    "replay": ("replay", "Run a receipt's answer again, offline, and compare every bit."),
    "review": ("review", "The review queue: items, decisions, reviews."),
    "policy": ("policy", "Clearing policies: read, try, propose, sign."),
    "declare": ("authority", "Revoke a measurement, declare a key compromised, retire a node."),
    "offer": ("offer", "What answers cost: show and set the owners' offers."),
    "upstream": ("upstream", "API keys of upstream providers, sealed to the enclaves."),
    "gateway": ("services", "Run one gateway."),
    "node": ("node", "Run one inference node; what it was paid."),
    "log": ("services", "Run one log, or a standby."),
    "fullnode": ("services", "Run one full node."),
    "anchor": ("services", "Run the anchoring service."),
    "facilitator": ("services", "Run a facilitator for x402 payments."),
    "relay": ("relay", "Run a relay: passes sealed requests on, opens none."),
    "issuer": ("services", "Run an issuer of tokens."),
    "web": ("services", "Run the pages, the review desk and the explorer."),
    "hub": ("services", "Run a blob store."),
    "storage-node": ("storage_node", "Run one storage node; make keys and committees."),
    "outcome": ("outcome", "Say how an answer turned out."),
    "model": ("model", "What a label pointed to, since when, and by whose word."),
    "fault": ("fault", "Faults: what each costs, evidence of one made and checked, offline."),
    "blob": ("blob", "Put, get and verify blobs by their Walrus blob ID."),
    "image": ("image", "Build or measure the enclave image."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of all commands, in reading order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"hallmark.apps.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home", default=DEFAULT_HOME, envvar="HALLMARK_HOME", show_default=True, help="Where state lives."
)
@click.version_option(__version__, prog_name="hallmark")
@click.pass_context
def cli(ctx: click.Context, home: str) -> None:
    """AI inference in measured enclaves: answers at once, proves afterwards, one mark per fact."""
    ctx.obj = Path(home).expanduser()


def exit_code(error: HallmarkError) -> int:
    """Which exit code an error ends the command with."""
    if isinstance(error, Held):
        return 1
    if isinstance(error, VerificationFailed):
        return 4
    return 3 if isinstance(error, Unavailable) else 2


def main() -> None:
    """Entry point of the `hallmark` program."""
    tolerant()
    try:
        cli(standalone_mode=False)
    except HallmarkError as error:
        complain(error)
        sys.exit(exit_code(error))
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
