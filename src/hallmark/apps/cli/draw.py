"""`hallmark draw`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from hallmark.apps.cli.answer_output import as_json, print_decision, report_held
from hallmark.apps.cli.ask import (
    answering,
    client_for,
    connection,
    pays,
    private,
    say_move,
    say_payment,
    say_way,
    sealed_json,
    settled,
    watch,
)
from hallmark.apps.cli.output import emit
from hallmark.core.errors import InvalidInput, VerificationFailed
from hallmark.services.sdk.answers import AnswerHeld, Cleared, Draft, Image
from hallmark.services.sdk.sync_client import Client, PlainReceipt

Answer = Draft[PlainReceipt] | Cleared[PlainReceipt]


@click.command()
@click.argument("prompt")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="File; of several NAME-1, NAME-2."
)
@click.option("--model", default="shapes", show_default=True)
@click.option("--size", help="Such as 512x512; default: the model's own.")
@click.option("--seed", type=click.IntRange(min=0), help="Equal seeds draw equal images; default: a new one.")
@click.option("--n", type=click.IntRange(1, 10), help="How many.")
@answering
@private
@connection
@click.pass_obj
def draw(home: Path, /, prompt: str, output: Path, **options: Any) -> None:
    """Have a model draw what PROMPT says, and watch the marks of its answer.

    The model that is shipped, `shapes`, draws flat shapes and nothing else. What an image shows is said
    beside its file.
    """
    _require_place(output)
    with client_for(home, options) as client:
        pays(client, options)
        try:
            answer = _drawn(client, prompt, options)
        except AnswerHeld as error:
            report_held(error)
            sys.exit(1)
        handle = answer.receipt
        if options["save"]:
            handle.save(options["save"])
        files = _write(answer.images, output)
        if options["as_data"]:
            emit(_json(answer, files, options["timeout"]) + "\n")
            return
        emit("".join(f"{file}  {image.revised_prompt}".rstrip() + "\n" for file, image in files) + "\n")
        say_move(answer)
        say_payment(answer)
        say_way(handle)
        if isinstance(answer, Cleared):
            print_decision(handle.verify(), answer.decision)
        else:
            watch(handle, options)


def _drawn(client: Client, prompt: str, options: dict[str, Any]) -> Answer:
    wanted = {name: options[name] for name in ("size", "seed", "n") if options[name] is not None}
    wanted |= {"model": options["model"], "mode": options["mode"]}
    if options["require"] is None:
        draft: Draft[PlainReceipt] = client.draw(prompt, **wanted)
        return draft
    cleared: Cleared[PlainReceipt] = client.draw(
        prompt, require=options["require"], timeout=options["timeout"], **wanted
    )
    return cleared


def _require_place(output: Path) -> None:
    """Before anything is paid for. Raises InvalidInput `cannot_write`."""
    if output.is_dir() or not output.parent.is_dir():
        raise InvalidInput(
            "cannot_write", f"{output} cannot be written.", "Name a file in a folder that is there."
        )


def _write(images: tuple[Image, ...], output: Path) -> list[tuple[Path, Image]]:
    """Each image in a file. Raises VerificationFailed `no_image`, InvalidInput `cannot_write`."""
    if not images:
        raise VerificationFailed(
            "no_image", "The answer holds no image that can be read.", "Its receipt stands: --save keeps it."
        )
    numbered = len(images) > 1
    files = [
        (output.with_stem(f"{output.stem}-{number}") if numbered else output, image)
        for number, image in enumerate(images, start=1)
    ]
    for file, image in files:
        try:
            file.write_bytes(image.data)
        except OSError as error:
            raise InvalidInput("cannot_write", f"{file} cannot be written.") from error
    return files


def _json(answer: Answer, files: list[tuple[Path, Image]], timeout: float) -> str:
    handle = answer.receipt
    decision = answer.decision if isinstance(answer, Cleared) else settled(handle, timeout)
    return as_json(
        handle,
        decision,
        images=[{"file": str(file), "revised_prompt": image.revised_prompt} for file, image in files],
        payment=msgspec.to_builtins(answer.payment),
        moved=msgspec.to_builtins(answer.moved),
        sealed=sealed_json(handle),
    )
