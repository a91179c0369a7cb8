"""The forms in which a request or an answer may have travelled, given what a library made of it.

Nothing here is believed: a form counts only when the receipt's digest is its digest.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

PATHS: Final = {
    "messages": ("/v1/chat/completions",),
    "prompt": ("/v1/completions", "/v1/images/generations"),
    "input": ("/v1/embeddings",),
    "inputs": ("/v1/hallmark/infer",),
    "safetensors": ("/v1/hallmark/infer",),
}
"""Where a request may have gone that has this member."""
FORM: Final = "/v1/images/edits"
"""Where a request went whose body is no JSON object, but a form."""
ALL: Final = (*dict.fromkeys(path for paths in PATHS.values() for path in paths), FORM)
COMPACT: Final = (",", ":")
SPACED: Final = (", ", ": ")
FRAME: Final = ("id", "object", "created", "model")
REST: Final = (*FRAME, "choices", "usage")
COUNTS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
OWN: Final = "written again in the enclave's own form"

Form = tuple[str, bytes]


class _Foreign(Exception):
    """The object holds something that an enclave's own answer never does."""


def requests(body: bytes, path: str = "") -> Iterator[tuple[str, str, bytes]]:
    """How a request may have been sent: in words, the path, the bytes. First exactly as it was saved."""
    value = _object(body)
    named = tuple(p for name, paths in PATHS.items() if name in value for p in paths)
    paths = (path,) if path else named or ALL
    for where in paths:
        yield "", where, body
        yield "without the white space around it", where, body.strip()
        for how, form in _encoded(_orders(value)) if value else ():
            yield how, where, form


def answers(value: Mapping[str, Any]) -> Iterator[Form]:
    """The covered bytes that a JSON answer may have had, without its receipt."""
    with contextlib.suppress(_Foreign):
        yield OWN, _dumps(_whole(value), COMPACT)
    yield from _encoded([value])


def chunks(values: Sequence[Mapping[str, Any]]) -> Iterator[Form]:
    """The covered bytes that a stream may have had, without its receipt's event."""
    with contextlib.suppress(_Foreign):
        yield OWN, _events([_chunk(value) for value in values])
    yield "written again without white space", _events(values)


def _encoded(values: Sequence[Mapping[str, Any]]) -> Iterator[Form]:
    for value in values:
        yield "written again without white space", _dumps(value, COMPACT)
        yield "written again as Python's json module does", _dumps(value, SPACED, ascii_only=True)
        yield "written again with white space", _dumps(value, SPACED)
        yield "written again without white space, in ASCII", _dumps(value, COMPACT, ascii_only=True)


def _orders(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The member orders that clients use: as given; model, stream and text first; the text first."""
    text = [name for name in PATHS if name in value]
    orders = [list(value)]
    for first in (["model", "stream", *text], ["model", *text], [*text, "model"]):
        rest = [name for name in value if name not in first]
        orders += [[*first, *sorted(rest)], [*first, *rest]]
    return [{name: value[name] for name in order if name in value} for order in orders]


def _events(values: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(b"data: " + _dumps(value, COMPACT) + b"\n\n" for value in values)


def _whole(value: Mapping[str, Any]) -> dict[str, Any]:
    """An answer as `openai_response.Shape` writes it."""
    choices = []
    for choice in _list(value.get("choices")):
        text = "message" if choice.get("message") is not None else "text"
        found = _only(choice, ("index", text))
        if text == "message":
            message = found["message"]
            found["message"] = {**_only(message, ("role", "content")), "refusal": message.get("refusal")}
        choices.append(_ended(found, choice))
    _nothing(value, REST)
    return {**_only(value, REST, checked=False), "choices": choices, **_usage(value)}


def _chunk(value: Mapping[str, Any]) -> dict[str, Any]:
    """A chunk as `openai_response.Shape` writes it."""
    choices = []
    for choice in _list(value.get("choices")):
        text = "delta" if choice.get("delta") is not None else "text"
        found = _only(choice, ("index", text))
        if text == "delta":
            found["delta"] = _only(found["delta"], ("role", "content"))
        choices.append(_ended(found, choice))
    _nothing(value, REST)
    return {**_only(value, FRAME, checked=False), "choices": choices, **_usage(value)}


def _ended(found: dict[str, Any], choice: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, "logprobs": choice.get("logprobs"), "finish_reason": choice.get("finish_reason")}


def _usage(value: Mapping[str, Any]) -> dict[str, Any]:
    usage = value.get("usage")
    return {"usage": _only(usage, COUNTS)} if usage is not None else {}


def _only(value: Any, names: tuple[str, ...], *, checked: bool = True) -> dict[str, Any]:
    """These members, in this order, where they are not null. Raises _Foreign for others that are not null."""
    if not isinstance(value, Mapping):
        raise _Foreign
    if checked:
        _nothing(value, (*names, "logprobs", "finish_reason", "refusal"))
    return {name: value[name] for name in names if value.get(name) is not None}


def _nothing(value: Mapping[str, Any], but: tuple[str, ...]) -> None:
    if any(held is not None for name, held in value.items() if name not in but):
        raise _Foreign


def _list(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise _Foreign
    return value


def _dumps(value: Any, separators: tuple[str, str], *, ascii_only: bool = False) -> bytes:
    text = json.dumps(value, ensure_ascii=ascii_only, separators=separators)
    return text.encode(errors="surrogatepass")


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
