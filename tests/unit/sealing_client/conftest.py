"""A little network that takes sealed questions, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hallmark import AsyncClient
from hallmark.services.sdk.verifying import Verifier
from hallmark.testing.sealed_network import SealedNetwork
from hallmark.testing.stub_evidence import verify_stub_evidence


@pytest.fixture
async def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SealedNetwork]:
    """A network of a log, two nodes, a gateway and a relay."""
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    async with SealedNetwork() as network:
        yield network


@pytest.fixture
async def client(local: SealedNetwork) -> AsyncIterator[AsyncClient]:
    """A client on the sealed way, with the network's trust file."""
    async with sealed_client(local) as client:
        yield client


def sealed_client(local: SealedNetwork, timeout: float = 5.0) -> AsyncClient:
    """Another client of the same home."""
    verifier = Verifier(local.trust, verify_stub_evidence)
    return AsyncClient(privacy="sealed", relay=local.relay_url, verifier=verifier, timeout=timeout)
