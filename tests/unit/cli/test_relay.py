"""`hallmark relay`: what it refuses before it listens, and with which words."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from hallmark.apps.cli.main import cli
from hallmark.apps.cli.relay import require_safe
from hallmark.core.errors import HallmarkError
from hallmark.http.serve import Listen
from hallmark.services.relay.settings import Settings

HERE = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "relay_gateway"),
        (("--gateway", "ftp://example.test"), "relay_gateway"),
        (("--gateway", HERE, "--listen", "here"), "relay_listen"),
        (("--gateway", HERE, "--listen", "0.0.0.0:24711"), "relay_in_clear"),
        (("--gateway", "http://example.test"), "relay_in_clear"),
        (("--gateway", HERE, "--issuer", "i"), "relay_issuer"),
        (("--gateway", HERE, "--issuer", "i", "--issuer-key", "/nowhere"), "relay_issuer"),
        (("--gateway", HERE, "--certificate", "/nowhere"), "relay_certificate"),
        (("--config", "/nowhere"), "bad_settings"),
    ],
)
def test_refusals_have_a_reason_a_sentence_and_a_hint(
    arguments: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    """Each is found before anybody can connect."""
    done = CliRunner().invoke(cli, ["--home", str(tmp_path), "relay", *arguments])
    assert isinstance(done.exception, HallmarkError)
    assert done.exception.reason == reason
    assert done.exception.message.endswith(".")
    assert done.exception.hint


def test_what_is_safe_is_let_through() -> None:
    """In clear on one machine, over TLS elsewhere."""
    for listen, gateway, certificate in (
        (Listen(1), HERE, ""),
        (Listen(1, "::1"), "http://localhost:1", ""),
        (Listen(1, "0.0.0.0"), "https://gateway.example", "chain.pem"),
    ):
        require_safe(Settings(listen, gateway, "sqlite://", certificate=certificate))
