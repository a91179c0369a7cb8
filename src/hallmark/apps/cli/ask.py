"""`hallmark ask`, `infer`, `models`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.text import Text

from hallmark.apps.cli.answer_output import as_json, follow, print_decision, report_held
from hallmark.apps.cli.output import console, emit
from hallmark.core.document import hex0x
from hallmark.core.documents import RouteRecord
from hallmark.core.errors import InvalidInput
from hallmark.core.modes import BY_NAME
from hallmark.core.safetensors import header_length
from hallmark.services.sdk.answers import AnswerHeld, Cleared, Draft
from hallmark.services.sdk.seen_models import ALLOW, REFUSE, WARN, ModelMoved
from hallmark.services.sdk.sync_client import Client, PlainReceipt
from hallmark.services.sdk.tensors import Tensors
from hallmark.verification.wording import short

PER_DAY = "2.00"
"""What `ask --pay` spends in 24 hours at most, over every process of the home."""
F = TypeVar("F", bound=Callable[..., Any])


def connection(command: F) -> F:
    """Options that say which network to talk to."""
    command = click.option("--url", help="Gateway address; default: the local network's.")(command)
    return click.option("--trust", type=click.Path(path_type=Path), help="The network's trust file.")(command)


def private(command: F) -> F:
    """Options that say which way a question takes."""
    command = click.option(
        "--sealed", is_flag=True, help="Seal it to an enclave, through a relay; never plain instead."
    )(command)
    command = click.option(
        "--insecure-nodes", is_flag=True, help="With --sealed: allow nodes that say they run without a check."
    )(command)
    command = click.option(
        "--relay-issuer", metavar="URL", help="Who gives tokens for a relay that wants them."
    )(command)
    return click.option("--relay", metavar="URL", help="The relay for --sealed; default: the home's.")(
        command
    )


def answering(command: F) -> F:
    """Options of commands that produce an answer."""
    command = click.option(
        "--on-model-change",
        type=click.Choice([WARN, REFUSE, ALLOW]),
        default=WARN,
        show_default=True,
        help="When the label is another artifact than when you asked last.",
    )(command)
    command = click.option(
        "--require", metavar="POLICY", help="Withhold the answer until this policy is met."
    )(command)
    command = click.option("--timeout", default=10.0, show_default=True, help="Seconds to wait for marks.")(
        command
    )
    command = click.option(
        "--mode",
        type=click.Choice(list(BY_NAME)),
        help="Ask for this mode; another one in the receipt, which comes last, is an error.",
    )(command)
    command = click.option("--json", "as_data", is_flag=True, help="Print JSON.")(command)
    command = click.option("--pay", is_flag=True, help="Pay from the wallet if the answer is not free.")(
        command
    )
    command = click.option(
        "--tokens", is_flag=True, help="Pay with tokens if it is not free; with --sealed alone."
    )(command)
    command = click.option(
        "--max", "most", default="0.05", show_default=True, metavar="AMOUNT", help="Pay at most this for it."
    )(command)
    return click.option("--save", type=click.Path(path_type=Path), help="Save the receipt to a file.")(
        command
    )


def pays(client: Client, options: dict[str, Any]) -> None:
    """Have the client pay as `--pay`, `--tokens` and `--max` say. Raises InvalidInput `two_ways_to_pay`."""
    if options["pay"] and options["tokens"]:
        raise InvalidInput(
            "two_ways_to_pay",
            "--pay says who pays, --tokens says it to nobody.",
            "Give one of them.",
        )
    if options["tokens"]:
        client.spend_tokens(max_per_request=options["most"])
    elif options["pay"]:
        client.spending(max_per_request=options["most"], max_per_day=PER_DAY)


def say_payment(answer: Draft[PlainReceipt] | Cleared[PlainReceipt]) -> None:
    """What it cost, on a line."""
    if answer.payment is not None:
        console().print(Text(f"cost  {answer.payment.words}", style="bright_black"))


def say_move(answer: Draft[PlainReceipt] | Cleared[PlainReceipt]) -> None:
    """That the label points to another artifact than before."""
    if answer.moved is not None:
        console().print(Text(f"! {answer.moved.words}", style="yellow"))
        console().print(Text(f"  hallmark model history {answer.moved.label}", style="bright_black"))


def client_of(home: Path, url: str | None, trust: Path | None) -> Client:
    """A client for what the connection options say."""
    return Client(url, trust=trust, home=home if url is None or trust is None else None)


def client_for(home: Path, options: dict[str, Any]) -> Client:
    """A client for what the connection options say, on the way that `--sealed` and `--relay` say.

    Raises InvalidInput `url_on_the_sealed_way`.
    """
    url, trust, relay = options["url"], options["trust"], options["relay"]
    warnings.filterwarnings("ignore", category=ModelMoved)  # said in the command's own words
    moved = options["on_model_change"]
    issuer, unsafe = options["relay_issuer"], options["insecure_nodes"]
    if not options["sealed"]:
        place = home if url is None or trust is None else None
        return Client(
            url,
            trust=trust,
            home=place,
            relay=relay,
            relay_issuer=issuer,
            unsafe_insecure_nodes=unsafe,
            on_model_change=moved,
        )
    if url is not None:
        raise InvalidInput(
            "url_on_the_sealed_way",
            "A sealed question never goes to a gateway, so --url cannot be meant.",
            "Name the relay with --relay, and the network's trust file with --trust.",
        )
    place = home if relay is None or trust is None else None
    return Client(
        trust=trust,
        home=place,
        privacy="sealed",
        relay=relay,
        relay_issuer=issuer,
        unsafe_insecure_nodes=unsafe,
        on_model_change=moved,
    )


def say_way(receipt: PlainReceipt) -> None:
    """What each party saw of a sealed question."""
    sealed = receipt.sealed
    if sealed is None:
        return
    seen = RouteRecord.decode(receipt.dossier.documents.route.encode()).saw_prompt
    lines = [
        f"sealed to node {short(hex0x(sealed.node.node))}, keys {short(sealed.node.configuration_digest)}",
        f"  the relay saw your address, {sealed.size:,} bytes as a size class, the time, and which node",
        "  the gateway saw a route request from the relay's address",
        "  the enclave saw the question and no address",
    ]
    if sealed.node.insecure:
        lines.append(f"  it runs without what keeps others out: {', '.join(sealed.node.insecure)}")
    if sealed.node.assurance == "simulated":
        lines.append("  its hardware is simulated: whoever runs its host could read the question too")
    if "upstream" in seen:
        lines.append("  the provider that answered saw the question in clear")
    for line in lines:
        console().print(Text(line, style="bright_black"))


@click.command()
@click.argument("prompt")
@click.option("--model", default="pydoc", show_default=True)
@click.option("--max-tokens", type=int, help="Longest answer, in tokens.")
@click.option("--temperature", type=float, help="0 is greedy; above it the receipt commits to the seed.")
@answering
@private
@connection
@click.pass_obj
def ask(home: Path, /, prompt: str, **options: Any) -> None:
    """Ask a language model and watch the marks of its answer.

    PROMPT is the question; `-` reads it from standard input.
    """
    text = sys.stdin.read() if prompt == "-" else prompt
    wanted = {"max_tokens": options["max_tokens"], "temperature": options["temperature"]}
    settings: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    settings |= {"model": options["model"], "mode": options["mode"]}
    with client_for(home, options) as client:
        pays(client, options)
        if options["require"] or options["as_data"]:
            _whole(
                lambda require: client.ask(text, require=require, timeout=options["timeout"], **settings),
                options,
            )
        stream = client.stream(text, **settings)
        for piece in stream:
            emit(piece)
        emit("\n\n")
        say_move(stream.draft)
        say_payment(stream.draft)
        say_way(stream.draft.receipt)
        watch(stream.draft.receipt, options)


@click.command()
@click.argument("model")
@click.option(
    "--input",
    "source",
    type=click.Path(path_type=Path, allow_dash=True),
    required=True,
    help="JSON of named tensors, or a safetensors file.",
)
@answering
@private
@connection
@click.pass_obj
def infer(home: Path, /, model: str, source: Path, **options: Any) -> None:
    """Run a tensor model on a JSON file of named nested lists, or on a safetensors file.

    MODEL is a label such as `digits`; `hallmark models` lists them.
    """
    inputs = _read_inputs(source)
    with client_for(home, options) as client:
        pays(client, options)

        def run(require: str | None) -> Draft[PlainReceipt] | Cleared[PlainReceipt]:
            if require is None:
                return client.infer(model, inputs, mode=options["mode"])
            return client.infer(
                model, inputs, mode=options["mode"], require=require, timeout=options["timeout"]
            )

        if options["require"] or options["as_data"]:
            _whole(run, options)
        draft = run(None)
        emit(_pretty(draft.outputs) + "\n\n")
        say_move(draft)
        say_payment(draft)
        say_way(draft.receipt)
        watch(draft.receipt, options)


def _whole(
    run: Callable[[str | None], Draft[PlainReceipt] | Cleared[PlainReceipt]], options: dict[str, Any]
) -> None:
    """An answer in one piece: withheld until its policy is met, or as JSON. Ends the command."""
    try:
        answer = run(options["require"])
    except AnswerHeld as error:
        report_held(error)
        sys.exit(1)
    handle = answer.receipt
    decision = answer.decision if isinstance(answer, Cleared) else settled(handle, options["timeout"])
    if options["save"]:
        handle.save(options["save"])
    if options["as_data"]:
        shown: dict[str, Any] = {"text": answer.text} if answer.text else {"outputs": answer.outputs}
        shown["payment"] = msgspec.to_builtins(answer.payment)
        shown["moved"] = msgspec.to_builtins(answer.moved)
        shown["sealed"] = sealed_json(handle)
        emit(as_json(handle, decision, **shown) + "\n")
    else:
        emit((answer.text or _pretty(answer.outputs)) + "\n\n")
        say_move(answer)
        say_payment(answer)
        say_way(handle)
        print_decision(handle.verify(), decision)
    sys.exit(0)


def sealed_json(handle: PlainReceipt) -> dict[str, Any] | None:
    """What a question was sealed to, as JSON data; None: it went plain."""
    sealed = handle.sealed
    if sealed is None:
        return None
    return {
        "node": hex0x(sealed.node.node),
        "configuration": sealed.node.configuration_digest,
        "window": sealed.node.window,
        "suite": sealed.suite,
        "size": sealed.size,
        "relay": sealed.relay,
        "insecure": list(sealed.node.insecure),
    }


def settled(handle: PlainReceipt, timeout: float) -> Any:
    """The decision under `witnessed` once it is met or the time is over."""
    try:
        return handle.wait("witnessed", timeout).decide("witnessed")
    except AnswerHeld as error:
        return error.decision


def watch(handle: PlainReceipt, options: dict[str, Any]) -> None:
    """The marks as they are struck; saves the receipt where `--save` says."""
    watched = follow(handle, "witnessed", options["timeout"])
    console().print()
    print_decision(handle.verify(), watched.decision, watched.times)
    if options["save"]:
        handle.save(options["save"])
        console().print(f"saved to {options['save']}", style="bright_black")


def _read_inputs(source: Path) -> Tensors:
    try:
        data = sys.stdin.buffer.read() if str(source) == "-" else source.read_bytes()
        if header_length(data[:9]):
            return data
        inputs: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "bad_inputs",
            f"{source} is neither a JSON object of named tensors nor a safetensors file.",
            "See models/digits/example.json.",
        ) from error
    return inputs


def _pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
