"""Walrus blob IDs."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from hallmark.core.errors import InvalidInput, TooLarge
from hallmark.hub import blob_id, blob_id_of_file, blob_text, parse_blob_text, walrus

VECTORS = Path(os.environ.get("HALLMARK_VECTORS", "../shared/vectors")) / "walrus" / "blob_ids.json"
HELLO_1000 = "VCHdU3RHtQVBYAI3c30jDhM8PNvrgv7OVxIb8eW6Ih4"
HELLO_10 = "U7SsW35U8kcth--WuFhMMTTo80K2E-ouCdbcySPTWzk"


def pattern(length: int) -> bytes:
    """The published pattern: byte i is (7*i+13) mod 256."""
    return (bytes((7 * i + 13) % 256 for i in range(256)) * (length // 256 + 1))[:length]


def content(name: str, length: int) -> bytes:
    """Content of a published vector."""
    known = {"empty": b"", "hello": b"hello", "a": b"a", "zeros1000": bytes(1000)}
    data = pattern(length) if name.startswith("pat") else known[name]
    assert len(data) == length
    return data


def vectors(*, shards: int | None) -> list[dict[str, object]]:
    """The published vectors, of one number of shards or all."""
    if not VECTORS.exists():
        pytest.skip("the vectors are not beside this checkout (HALLMARK_VECTORS)")
    found = [v for v in json.loads(VECTORS.read_text())["vectors"] if shards in (None, v["n"])]
    assert found
    return found


def test_small_network_vectors_are_identical() -> None:
    """All published vectors for 10 shards come out, which exercises every step of the algorithm."""
    for vector in vectors(shards=10):
        data = content(str(vector["name"]), int(str(vector["len"])))
        assert blob_text(blob_id(data, 10)) == vector["id"], vector["name"]


def test_hello_at_a_thousand_shards() -> None:
    """The network's own number of shards gives the published ID of `hello`."""
    assert blob_text(blob_id(b"hello")) == HELLO_1000


@pytest.mark.parametrize("length", [0, 1, 55, 56, 57, 1000, 70_001])
def test_stripes_and_spilling_change_nothing(
    length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a file in narrow stripes with the extension on disk gives the ID of the bytes in memory."""
    path = tmp_path / "blob"
    path.write_bytes(pattern(length))
    whole = blob_id(pattern(length), 10)
    monkeypatch.setattr(walrus, "STRIPE", 1)
    monkeypatch.setattr(walrus, "SPILL_ABOVE", 1)
    assert blob_id_of_file(path, 10) == whole


def test_length_is_part_of_the_id() -> None:
    """Zero padding cannot be mistaken for content: the same matrix with another length is another blob."""
    assert blob_id(bytes(3), 10) != blob_id(bytes(4), 10)


def test_shape_of_known_sizes() -> None:
    """A thousand shards make 334 rows and 667 columns; symbols are even."""
    shape = walrus.shape_of(445_557)
    assert (shape.rows, shape.columns, shape.symbol) == (334, 667, 2 * 2)
    assert walrus.shape_of(445_556).symbol == 2
    assert walrus.shape_of(0).symbol == 2


def test_limits_have_reasons() -> None:
    """Too few shards and too large blobs are refused by name."""
    with pytest.raises(InvalidInput) as few:
        walrus.shape_of(1, 3)
    assert few.value.reason == "bad_shards"
    assert walrus.shape_of(14_599_533_452).symbol == 65_534
    with pytest.raises(TooLarge) as large:
        walrus.shape_of(14_599_533_453)
    assert large.value.reason == "blob_too_large"


def test_text_form_round_trips() -> None:
    """The text form is 43 characters and reads back to the same bytes."""
    identifier = parse_blob_text(HELLO_10)
    assert len(identifier) == 32
    assert blob_text(identifier) == HELLO_10


@pytest.mark.parametrize(
    "text",
    ["", HELLO_10[:-1], HELLO_10 + "=", HELLO_10.replace("-", "+"), HELLO_10[:-1] + "l", "é" + HELLO_10[1:]],
)
def test_other_spellings_are_refused(text: str) -> None:
    """A blob ID has one spelling: padding, another alphabet or stray bits are refused."""
    with pytest.raises(InvalidInput) as error:
        parse_blob_text(text)
    assert error.value.reason == "bad_blob_id"


def test_text_of_wrong_length_is_refused() -> None:
    """Only 32 bytes have a text form."""
    with pytest.raises(InvalidInput):
        blob_text(base64.b64decode("AAAA"))
