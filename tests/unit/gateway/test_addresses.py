"""Addresses that strangers registered: whatever they are, the gateway goes on."""

from __future__ import annotations

import msgspec
import pytest

from hallmark.core.errors import InvalidInput
from hallmark.http.client import Pool
from hallmark.testing.local_network import LocalNetwork

WRONG = ("https://[", "https://[::1", "https://\uff0f.com", "https://a\u2100b", "https://a:99999999", "x", "")


@pytest.mark.parametrize("url", WRONG)
async def test_what_is_no_url_is_a_reason(url: str) -> None:
    """What the library's parser raises of itself comes out as `bad_url`, before anything is sent."""
    with pytest.raises(InvalidInput) as error:
        async with Pool().request("GET", f"{url}/v1/hallmark/clock"):
            pass
    assert error.value.reason == "bad_url"


async def test_a_node_with_an_address_that_is_none_is_a_node_that_does_not_answer() -> None:
    """The others are looked at and asked all the same."""
    async with LocalNetwork() as local:
        nodes = local.gateway.looking._nodes()
        (first, bundle), *others = nodes
        strange = tuple((first, msgspec.structs.replace(bundle, endpoint=url)) for url in WRONG)
        local.gateway.looking._nodes = lambda: (*strange, *others)
        local.net.tick(60_000)
        await local.gateway.looking.look()
        loads = local.gateway.loads
        assert loads.of(first).unheard == local.net.now
        assert [loads.of(key).heard for key, _ in others] == [local.net.now] * len(others)
