"""`hallmark proxy`: a local server for any OpenAI client, on the sealed way."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from hallmark.apps.cli.output import console
from hallmark.core.errors import HallmarkError, InvalidInput, Unavailable

PORT: Final = 21400
LISTEN: Final = f"127.0.0.1:{PORT}"


@click.command()
@click.option("--listen", default=LISTEN, show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--relay", metavar="URL", help="The relay; default: the home's.")
@click.option("--relay-issuer", metavar="URL", help="Who gives tokens for a relay that wants them.")
@click.option("--trust", type=click.Path(path_type=Path), help="The trust file; default: the home's.")
@click.option("--log", metavar="URL", help="A log or full node, for route tickets; default: the home's.")
@click.option("--policy", default="", metavar="POLICY", help="Hold every answer until it meets this policy.")
@click.option("--hold", "hold_s", default=30.0, show_default=True, help="Seconds to hold an answer.")
@click.option("--pay", is_flag=True, help="Pay from the wallet for what is not free.")
@click.option("--max", "most", default="0.05", show_default=True, metavar="AMOUNT", help="At most, for one.")
@click.option("--insecure-nodes", is_flag=True, help="Allow nodes that say they run without a check.")
@click.option("--allow-origin", multiple=True, metavar="ORIGIN", help="Let pages of this site ask.")
@click.option("--allow-host", multiple=True, metavar="HOST:PORT", help="Be reached under this name as well.")
@click.option("--listen-beyond-loopback", is_flag=True, help="Allow an address that other machines reach.")
@click.pass_obj
def proxy(home: Path, /, **options: Any) -> None:
    """Run a local OpenAI-compatible server that seals each question to an enclave.

    Point an application at http://127.0.0.1:21400/v1, with any API key. http://127.0.0.1:21400/ shows what
    the proxy trusts and what it did.
    """
    # Loaded here, so that other commands start without it.
    from hallmark.http.serve import run
    from hallmark.telemetry.logs import configure

    configure("proxy")
    run(_serve(home, options))


async def _serve(home: Path, options: dict[str, Any]) -> None:
    from hallmark.apps.cli.ask import PER_DAY
    from hallmark.apps.web.proxy_page import asset, page
    from hallmark.http.serve import serve
    from hallmark.services.proxy.app import Proxy
    from hallmark.services.sdk.client import AsyncClient

    listen = listen_of(options["listen"], beyond=options["listen_beyond_loopback"])
    named = options["relay"] is not None and options["trust"] is not None
    client = AsyncClient(
        trust=options["trust"],
        home=None if named else home,
        privacy="sealed",
        relay=options["relay"],
        relay_issuer=options["relay_issuer"],
        unsafe_insecure_nodes=options["insecure_nodes"],
    )
    try:
        if options["pay"]:
            client.spending(max_per_request=options["most"], max_per_day=PER_DAY)
        own = Proxy(
            client,
            policy=options["policy"],
            page=page,
            asset=asset,
            hosts=frozenset(options["allow_host"]),
            origins=frozenset(options["allow_origin"]),
            hold_s=options["hold_s"],
            log=options["log"],
        )
        try:
            await serve(own.service, listen, tasks=(own.watch(), _say(options["listen"])))
        except OSError as error:
            raise Unavailable(
                "port_taken",
                f"The port cannot be listened on ({error.strerror}).",
                "Is a proxy running already? Else name another with --listen.",
            ) from error
        finally:
            await own.aclose()
    except ExceptionGroup as group:
        first = group.exceptions[0]
        raise first if isinstance(first, HallmarkError) else group from group
    finally:
        await client.aclose()


async def _say(listen: str) -> None:
    """Where it is, once it listens."""
    out = console(stderr=True)
    out.print(f"http://{listen}/v1   for any OpenAI client; the key does not matter")
    out.print(f"http://{listen}/     what it trusts and what it did")


def listen_of(text: str, *, beyond: bool) -> Any:
    """Where to listen. Raises InvalidInput `bad_listen`, `listen_beyond_loopback`."""
    import ipaddress

    from hallmark.http.serve import Listen

    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address("127.0.0.1" if host in ("", "localhost") else host.strip("[]"))
        number = int(port)
        if not 0 <= number < 65536:
            raise ValueError
    except ValueError as error:
        raise InvalidInput("bad_listen", "An address to listen on is HOST:PORT.") from error
    if not address.is_loopback and not beyond:
        raise InvalidInput(
            "listen_beyond_loopback",
            "Other machines would reach this proxy, and their questions cross the network in clear.",
            "Use 127.0.0.1, or say --listen-beyond-loopback.",
        )
    return Listen(number, str(address))
