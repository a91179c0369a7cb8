"""Members of JSON objects stand once each."""

from __future__ import annotations

import pytest

from hallmark.core.errors import InvalidInput
from hallmark.core.members import check_members


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"b":2,"a":null}',
        '{"a":{"b":[{"c":1,"c":2}]}}',
        '[{"a":1},{"a":1,"\\u0061":2}]',
        '{"":1,"":2}',
        '{"caf\\u00e9":1,"caf\u00e9":1}',
    ],
)
def test_a_repeated_member_is_refused(text: str) -> None:
    """At any depth, whatever the values, and however the name is spelled."""
    with pytest.raises(InvalidInput) as caught:
        check_members(text.encode())
    assert caught.value.reason == "member_repeated"


@pytest.mark.parametrize(
    "text", ['{"a":{"a":1},"b":{"a":1}}', '[{"a":1},{"a":1}]', '{"a":1,"A":1}', "{}", "7" * 5000, "-1.5e999"]
)
def test_the_same_name_in_two_objects_is_two_members(text: str) -> None:
    """Only members of one object are compared, and numbers are not looked at."""
    check_members(text.encode())


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[" * 2_000, b"{} {}"])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    """Damage, other encodings and bottomless nesting raise nothing but our own error."""
    with pytest.raises(InvalidInput) as caught:
        check_members(data)
    assert caught.value.reason == "bad_json"
