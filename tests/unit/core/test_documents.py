"""Canonical documents: exact bytes, no floats, no second form."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest

import hallmark
from hallmark.core.document import (
    REMEMBERED,
    REMEMBERED_BYTES,
    Document,
    Hex20,
    Hex32,
    Hex48,
    HexBytes,
    Uint63,
    _remembered,
    digest_of,
    report_data,
    unhex,
)
from hallmark.core.documents import (
    AttestationPolicy,
    KeyBundle,
    Manifest,
    Parameters,
    RouteRecord,
    SealedPath,
    Sealing,
    UpstreamRecord,
)
from hallmark.core.errors import InvalidInput
from hallmark.core.evidence import Evidence
from hallmark.testing.network import LittleNetwork
from hallmark.testing.reasons import nodes_of

PARAMETERS = Parameters(task="chat", max_tokens=5, stop=("\n",))


def test_a_document_reads_back_from_its_exact_bytes() -> None:
    """Encoding is deterministic and decoding gives the same document and digest."""
    data = PARAMETERS.encode()
    assert Parameters.decode(data) == PARAMETERS
    assert digest_of(Parameters, data) == PARAMETERS.digest()
    policy = AttestationPolicy("a", 1, ("b",), {"z": (), "a": ()}, 1, 1)
    assert AttestationPolicy.decode(policy.encode()) == policy


UPSTREAM = UpstreamRecord("p", "https://u.example", "l", "m", "r")


def test_what_was_read_lately_is_not_read_again() -> None:
    """The same bytes of the same type are the same document; of another type they are none, however often."""
    data = UPSTREAM.encode()
    assert UpstreamRecord.decode(data) is UpstreamRecord.decode(bytes(bytearray(data)))
    for _ in range(2):
        with pytest.raises(InvalidInput, match="not a RouteRecord"):
            RouteRecord.decode(data)
        with pytest.raises(InvalidInput, match="canonical"):
            UpstreamRecord.decode(data.replace(b":", b": ", 1))


def test_what_is_remembered_is_bounded() -> None:
    """So many documents at most, none of more than so many bytes, whatever comes."""
    for number in range(3 * REMEMBERED):
        UpstreamRecord.decode(msgspec.structs.replace(UPSTREAM, label=f"label {number}").encode())
    assert _remembered.cache_info().currsize == REMEMBERED
    long = msgspec.structs.replace(UPSTREAM, label="l" * REMEMBERED_BYTES).encode()
    assert UpstreamRecord.decode(long) == UpstreamRecord.decode(long)
    assert UpstreamRecord.decode(long) is not UpstreamRecord.decode(long)


def test_nothing_of_what_is_remembered_can_be_changed() -> None:
    """Two readers hold the same document: no list, dict or struct in it that can change."""
    kinds = {kind for kind in _subclasses(Document) if kind.remembered}
    assert {kind.__name__ for kind in kinds} == {
        "Candidates", "KeyBundle", "Offer", "Payment", "RouteRecord", "UpstreamRecord"
    }  # fmt: skip
    assert not [kind.__name__ for kind in kinds if _changeable(msgspec.inspect.type_info(kind))]
    assert _changeable(msgspec.inspect.type_info(AttestationPolicy))
    manifest = Manifest.decode(LittleNetwork().manifest.encode())
    assert Manifest.decode(manifest.encode()) is not manifest


def _subclasses(kind: type[Document]) -> set[type[Document]]:
    return {kind}.union(*(_subclasses(each) for each in kind.__subclasses__()))


def _changeable(info: msgspec.inspect.Type) -> bool:
    match info:
        case msgspec.inspect.Metadata(type=inner):
            return _changeable(inner)
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            return not cls.__struct_config__.frozen or any(_changeable(field.type) for field in fields)
        case msgspec.inspect.UnionType(types=types):
            return any(map(_changeable, types))
        case msgspec.inspect.TupleType(item_types=items):
            return any(map(_changeable, items))
        case msgspec.inspect.VarTupleType(item_type=item):
            return _changeable(item)
        case _:
            plain = (
                msgspec.inspect.NoneType,
                msgspec.inspect.BoolType,
                msgspec.inspect.IntType,
                msgspec.inspect.StrType,
                msgspec.inspect.BytesType,
                msgspec.inspect.LiteralType,
            )
            return not isinstance(info, plain)


def test_what_is_said_of_sealing_is_not_there_where_nothing_is_sealed() -> None:
    """A key bundle and a route record of a plain node are written as before there was sealing."""
    net = LittleNetwork()
    bundle, route = net.nodes[0].bundle, net.answer(net.nodes[0]).route
    assert bundle is not None
    assert b"seal" not in bundle.encode() + route.encode()
    sealing = Sealing("0x" + "11" * 32, 1, 2, 3)
    path = SealedPath("0x" + "22" * 32, 0, "a suite", 1024)
    for document in (
        msgspec.structs.replace(bundle, sealing=sealing),
        msgspec.structs.replace(route, sealed=path),
    ):
        assert type(document).decode(document.encode()) == document
        with pytest.raises(InvalidInput):
            type(document).decode(document.encode().replace(b'"seal', b'"unknown":1,"seal', 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.replace(b'"chat"', b' "chat"'),
        lambda d: d + b"\n",
        lambda d: d[:-1] + b',"unknown":1}',
        lambda d: d.replace(b'"max_tokens":5', b'"max_tokens":5.0'),
        lambda d: d.replace(b'"max_tokens":5,', b'"max_tokens":4,"max_tokens":5,'),
        lambda d: d.replace(b"{", b"[", 1),
        lambda d: b"\xff" + d,
        lambda d: d.replace(b'"chat"', b'"\\u0063hat"'),
    ],
)
def test_every_other_form_is_refused(change) -> None:  # type: ignore[no-untyped-def]
    """White space, unknown fields, floats, duplicate keys, escapes and damage are refused."""
    with pytest.raises(InvalidInput):
        Parameters.decode(change(PARAMETERS.encode()))


@pytest.mark.parametrize(
    ("text", "kind"),
    [("00" * 20, Hex20), ("00" * 32, Hex32), ("00" * 48, Hex48), ("", HexBytes), ("00", HexBytes)],
)
def test_hexadecimal_text_ends_with_its_digits(text: str, kind: object) -> None:
    """Neither a newline behind it, nor a digit too many or too few, nor an upper-case one is let pass."""
    assert msgspec.convert(f"0x{text}", type=kind) == f"0x{text}"
    for wrong in (f"0x{text}\n", f"0x{text}0", f"0X{text}", f"0x{text[:-1]}A", f"\n0x{text}", text):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, type=kind)


def _patterns() -> list[tuple[str, str]]:
    """Every pattern that a type of the source asks of a text, with the file that it stands in."""
    root = Path(hallmark.__file__).parent
    return [
        (path.name, str(keyword.value.value))
        for path in root.rglob("*.py")
        if "pattern=" in path.read_text()
        for node in nodes_of(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "Meta"
        for keyword in node.keywords
        if keyword.arg == "pattern" and isinstance(keyword.value, ast.Constant)
    ]


def test_no_pattern_lets_a_newline_pass_behind_the_text() -> None:
    """Python's `$` also matches before a last newline; every pattern says that it does not mean that."""
    found = _patterns()
    assert len(found) >= 14
    assert [each for each in found if not each[1].endswith((r"$(?!\n)", r"\Z"))] == []


@pytest.mark.parametrize(("value", "fits"), [(0, True), ((1 << 63) - 1, True), (-1, False), (1 << 63, False)])
def test_positions_and_times_have_63_bits(value: int, fits: bool) -> None:
    """What cannot be a position or a time is refused where it is read, whatever its size."""
    for number in (value, value << 64) if not fits else (value,):
        try:
            assert msgspec.json.decode(str(number).encode(), type=Uint63) == number
            assert fits
        except msgspec.ValidationError:
            assert not fits


def test_documents_of_different_kinds_never_share_a_digest() -> None:
    """The tag separates domains, and evidence binds another hash than statements do."""
    data = PARAMETERS.encode()
    assert digest_of(Parameters, data) != digest_of(Manifest, data)
    assert len(report_data(KeyBundle, data)) == 64
    assert report_data(KeyBundle, data)[:32] != digest_of(KeyBundle, data)


def test_no_float_is_ever_signed() -> None:
    """A float anywhere inside raises."""
    with pytest.raises(InvalidInput) as caught:
        Parameters(task="chat", temperature=0.5).encode()  # type: ignore[arg-type]
    assert caught.value.reason == "float_in_document"


def test_evidence_encoding_is_exact() -> None:
    """Evidence reads back; truncated or extended bytes are refused."""
    evidence = Evidence("nitro-dev", b"document", b"collateral")
    raw = evidence.encode()
    assert Evidence.decode(raw) == evidence
    for bad in (raw[:-1], raw + b"x", b"", raw[1:]):
        with pytest.raises(InvalidInput):
            Evidence.decode(bad)
    with pytest.raises(InvalidInput):
        unhex("12")
