"""What an upstream's API key is bound to when it is sealed to an enclave."""

from __future__ import annotations

from typing import Final
from urllib.parse import urldefrag, urlsplit

from hallmark.core.errors import InvalidInput

TAG: Final = b"hallmark/upstream-key/v1\0"
MAX_KEY: Final = 4096
LOOPBACK: Final = frozenset(("127.0.0.1", "::1", "localhost"))


def origin_of(url: str) -> str:
    """Scheme, host and port of an upstream's address (RFC 6454), in lower case, the port always named.

    Raises InvalidInput `bad_url`.
    """
    try:
        parts = urlsplit(urldefrag(url)[0])
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError) as error:
        raise InvalidInput("bad_url", "An upstream's address is not an http or https URL.") from error
    if not parts.hostname:
        raise InvalidInput("bad_url", "An upstream's address is not an http or https URL.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host.lower()}:{port}"


def host_of(url: str) -> str:
    """The host of an address that somebody wrote, e.g. into a configuration; "" when it is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def key_info(bundle: bytes, label: str, url: str) -> bytes:
    """Tag || bundle digest (32) || u16be length of the label || label || origin: to this enclave, for this
    upstream at this origin, and for no other.
    """
    name = label.encode()
    return b"".join((TAG, bundle, len(name).to_bytes(2, "big"), name, origin_of(url).encode()))


def require_key(key: bytes, url: str) -> bytes:
    """A key that can go into a header of a request to `url`.

    Raises InvalidInput `bad_upstream_key`, `upstream_key_in_clear`, `bad_url`.
    """
    key = key.strip()
    if not 0 < len(key) <= MAX_KEY or not all(0x21 <= byte <= 0x7E for byte in key):
        raise InvalidInput(
            "bad_upstream_key", f"An API key is 1 to {MAX_KEY} printable ASCII characters without spaces."
        )
    if not origin_of(url).startswith("https://") and host_of(url) not in LOOPBACK:
        raise InvalidInput(
            "upstream_key_in_clear",
            "The upstream's address is http: the key would cross the network in clear.",
            "Use its https address; plain http is taken on this machine's loopback alone.",
        )
    return key
