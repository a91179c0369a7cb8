"""One saved receipt, its file changed everywhere: members, characters, spellings."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from tests.integration.browser_code.verifier_batch import Batch
from tests.integration.browser_code.verifier_cases import Case, replace

from hallmark.core.document import hex0x
from hallmark.core.hashing import ZERO32
from hallmark.verification.dossier import Anchor


def broken(batch: Batch, case: Case) -> None:
    """Every leaf of the file changed, dropped, or taken from another dossier; characters changed anywhere."""
    other = Case(case.net, case.net.nodes[1])
    anchor = Anchor(31337, "0x" + "0a" * 20, hex0x(ZERO32), 7, 99, hex0x(ZERO32), 2, (hex0x(ZERO32),))
    review = case.net.add(case.net.review(case.net.reviewers[0], case.index))
    saved = replace(case.dossier(reviews=[review]), anchor=anchor)
    mine = json.loads(saved.encode())
    theirs = json.loads(other.dossier().encode())
    chance = random.Random(7)
    for path, value in _leaves(mine):
        # Nearly every change of a field of the receipt ends alike: at its id.
        few = 1 if path[0] == "receipt" else 9
        for name, changed in itertools.islice(_changes(value, chance), few):
            _tell(batch, case, f"{path} {name}", _with(mine, path, changed))
    for path, found in _members(theirs):
        _tell(batch, case, f"{path} of another", _with(mine, path, found))
    for path, _ in _members(mine):
        _tell(batch, case, f"{path} dropped", _with(mine, path, ...))
        _tell(batch, case, f"{path} null", _with(mine, path, None))
    text = msgspec.json.encode(saved)
    for _ in range(60):
        at = chance.randrange(len(text))
        sign = chance.choice(b'0a"}, ,:\\nAz=+/')
        batch.dossier(
            f"byte {at} to {sign}", text[:at] + bytes((sign,)) + text[at + 1 :], case.trust, case.net.now
        )
    for name, change in FORMS.items():
        batch.dossier(f"form: {name}", change(text), case.trust, case.net.now)


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "indented": lambda d: msgspec.json.format(d, indent=3),
    "unknown member": lambda d: d.replace(b'{"format"', b'{"more":1,"format"', 1),
    "twice, last right": lambda d: d.replace(b'"chain_id":', b'"chain_id":9,"chain_id":', 1),
    "twice, last wrong": lambda d: d.replace(b'"chain_id":31337', b'"chain_id":31337,"chain_id":9', 1),
    "twice, first ill-typed": lambda d: d.replace(b'"chain_id":', b'"chain_id":"9","chain_id":', 1),
    "twice, both right": lambda d: d.replace(b'"chain_id":', b'"chain_id":31337,"chain_id":', 1),
    "twice, spelled otherwise": lambda d: d.replace(b'{"format"', b'{"f\\u006frmat":"","format"', 1),
    "document twice": lambda d: d.replace(b'{"bundle"', b'{"route":"","bundle"', 1),
    "receipt member twice": lambda d: d.replace(b'"mode":1', b'"mode":2,"mode":1', 1),
    "float": lambda d: d.replace(b'"chain_id":31337', b'"chain_id":31337.0', 1),
    "exponent": lambda d: d.replace(b'"tokensIn":7', b'"tokensIn":7e0', 1),
    "leading zero": lambda d: d.replace(b'"tokensIn":7', b'"tokensIn":07', 1),
    "minus zero": lambda d: d.replace(b'"mode":1', b'"mode":-0', 1),
    "huge": lambda d: d.replace(b'"tokensIn":7', b'"tokensIn":' + b"7" * 4299, 1),
    "huger": lambda d: d.replace(b'"chain_id":31337', b'"chain_id":' + b"7" * 4301, 1),
    "true": lambda d: d.replace(b'"mode":1', b'"mode":true', 1),
    "lower-case escape": lambda d: d.replace(b"Seven", b"Seven\\u00e9", 1),
    "upper-case escape": lambda d: d.replace(b"Seven", b"Seven\\u00E9", 1),
    "escaped backslash": lambda d: d.replace(b"Seven", b"Seven\\\\u00E9", 1),
    "escaped name": lambda d: d.replace(b'"format"', b'"f\\u006frmat"', 1),
    "surrogate": lambda d: d.replace(b"Seven", b"\\ud83d", 1),
    "surrogates": lambda d: d.replace(b"Seven", b"\\ud83d\\ude00", 1),
    "surrogates reversed": lambda d: d.replace(b"Seven", b"\\ude00\\ud83d", 1),
    "raw control": lambda d: d.replace(b"Seven", b"Se\x07ven", 1),
    "not UTF-8": lambda d: d.replace(b"Seven", b"Sev\xff\xfe", 1),
    "UTF-8 surrogate": lambda d: d.replace(b"Seven", b"\xed\xa0\x80", 1),
    "byte order mark": lambda d: b"\xef\xbb\xbf" + d,
    "newline behind": lambda d: d + b"\n",
    "more behind": lambda d: d + b"{}",
    "cut": lambda d: d[:-1],
    "empty": lambda d: b"",
    "trailing comma": lambda d: d[:-1] + b",}",
    "null": lambda d: b"null",
    "list": lambda d: b"[" + d + b"]",
    "newline in hex": lambda d: d.replace(b'","id":"', b'\\n","id":"', 1),
    "newline in id": lambda d: d.replace(b'","documents"', b'\\n","documents"', 1),
    "newline in base64": lambda d: d.replace(b'","entry":', b'\\n","entry":', 1),
    "long path": lambda d: d.replace(b'"path":"', b'"path":"' + b"/" * 65_536, 1),
}
TWO_MEANINGS = ("twice", "document twice", "receipt member twice", "newline in", "upper-case escape")


def _tell(batch: Batch, case: Case, name: str, value: Any) -> None:
    batch.dossier(name, msgspec.json.encode(value), case.trust, case.net.now)


Path = tuple[str | int, ...]


def _members(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every member of every object and list, parents first."""
    pairs: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, inner in pairs:
        yield (*path, name), inner
        yield from _members(inner, (*path, name))


def _leaves(value: Any) -> Iterator[tuple[Path, Any]]:
    return ((path, inner) for path, inner in _members(value) if isinstance(inner, str | int))


def _with(value: Any, path: Path, changed: Any) -> Any:
    copied = json.loads(json.dumps(value))
    *above, last = path
    inner: Any = copied
    for name in above:
        if name not in (inner if isinstance(inner, dict) else range(len(inner or ()))):
            return copied
        inner = inner[name]
    if inner is None or isinstance(inner, str):
        return copied
    if changed is ...:
        del inner[last]
    elif isinstance(inner, list) and isinstance(last, int) and last >= len(inner):
        inner.append(changed)
    else:
        inner[last] = changed
    return copied


def _changes(value: Any, chance: random.Random) -> Iterator[tuple[str, Any]]:
    if isinstance(value, int):
        yield "more", value + 1
        if value:
            yield "zero", 0
        yield "negative", -1
        yield "of 63 bits", (1 << 63) - 1
        yield "of 64 bits", 1 << 63
        yield "of 65 bits", 1 << 64
        return
    yield "longer by a line", value + "\n"
    if value:
        for at in {len(value) - 1, chance.randrange(len(value))}:
            sign = value[at : at + 1]
            yield f"at {at}", value[:at] + ("1" if sign != "1" else "2") + value[at + 1 :]
        yield "upper case", value.upper()
        yield "shorter", value[:-1]
