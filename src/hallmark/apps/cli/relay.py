"""`hallmark relay`: a relay in the foreground, in front of any network."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
import msgspec

from hallmark.apps.cli.output import console
from hallmark.core.errors import InvalidInput
from hallmark.http.serve import Listen, run
from hallmark.services.relay.service import serve_relay
from hallmark.services.relay.settings import Settings, Tokens
from hallmark.store import sqlite_url
from hallmark.telemetry.logs import configure

HERE: Final = "127.0.0.1:24700"


@click.command()
@click.option("--gateway", metavar="URL", help="The gateway whose nodes get capsules.")
@click.option("--listen", "where", default=HERE, show_default=True, metavar="HOST:PORT")
@click.option("--name", default="relay", show_default=True, help="What the relay calls itself.")
@click.option("--certificate", type=click.Path(path_type=Path), metavar="FILE", help="Its chain, PEM.")
@click.option("--certificate-key", type=click.Path(path_type=Path), metavar="FILE", help="Its key, PEM.")
@click.option("--issuer", metavar="NAME", help="Take capsules with Privacy Pass tokens of this issuer alone.")
@click.option(
    "--issuer-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The issuer's public key: base64 of a DER SubjectPublicKeyInfo.",
)
@click.option("--database", metavar="URL", help="Where spent tokens are kept; default: in --home.")
@click.option("--insecure-http", is_flag=True, help="Allow other machines, or a gateway elsewhere, in clear.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="All settings; no options.")
@click.pass_obj
def relay(
    home: Path,
    /,
    *,
    gateway: str | None,
    where: str,
    name: str,
    certificate: Path | None,
    certificate_key: Path | None,
    issuer: str | None,
    issuer_key: Path | None,
    database: str | None,
    insecure_http: bool,
    config: Path | None,
) -> None:
    """Run a relay: it passes sealed requests on and opens none.

    It sees who sends, how much and to which node; it keeps none of that. Choose --gateway freely: the relay
    needs nobody's key and nobody's leave.
    """
    if config is not None:
        settings = _read(config)
    else:
        settings = Settings(
            _listen(where),
            _gateway(gateway),
            database or sqlite_url(_store(home)),
            name=name,
            tokens=_tokens(issuer, issuer_key),
            certificate=str(certificate or ""),
            certificate_key=str(certificate_key or ""),
        )
    if not insecure_http:
        require_safe(settings)
    out = console()
    configure("relay")
    run(serve_relay(settings, say=lambda text: out.print(text, markup=False, highlight=False)))


def require_safe(settings: Settings) -> None:
    """Other machines are spoken with over TLS. Raises InvalidInput `relay_in_clear`."""
    parts = urlsplit(settings.gateway)
    if not settings.certificate and not _is_here(settings.listen.host):
        what = (
            f"Others would reach {settings.listen.host} in clear, and who is on the way would see them ask."
        )
    elif parts.scheme == "http" and not _is_here(parts.hostname or ""):
        what = "The gateway is asked in clear, so who is on the way could name other nodes."
    else:
        return
    raise InvalidInput(
        "relay_in_clear",
        what,
        "Give --certificate, an https gateway, or a proxy in front; or --insecure-http.",
    )


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(text: str) -> Listen:
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise InvalidInput("relay_listen", f"{text!r} is not HOST:PORT.", f"For example: {HERE}")
    return Listen(int(port), host.strip("[]") or "127.0.0.1")


def _gateway(url: str | None) -> str:
    parts = urlsplit(url or "")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidInput(
            "relay_gateway",
            "A relay needs the address of a network's gateway.",
            "For example: --gateway https://gateway.example",
        )
    return (url or "").rstrip("/")


def _tokens(issuer: str | None, key: Path | None) -> Tokens | None:
    if issuer is None and key is None:
        return None
    if issuer is None or key is None:
        raise InvalidInput(
            "relay_issuer", "An issuer has a name and a key.", "Give --issuer and --issuer-key."
        )
    try:
        return Tokens(issuer, key.read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "relay_issuer", f"{key} cannot be read.", "It holds one line of base64."
        ) from error


def _read(path: Path) -> Settings:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("bad_settings", f"{path} cannot be read.", "See docs/relay.md.") from error


def _store(home: Path) -> Path:
    folder = home / "relay"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InvalidInput(
            "relay_home",
            f"{folder} cannot be made ({os.strerror(error.errno or 0)}).",
            "Name another --home.",
        ) from error
    return folder / "store.db"
