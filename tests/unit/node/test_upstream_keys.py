"""An upstream's API key: sealed to one attested enclave for one origin, and nowhere else to be opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from hallmark.core.document import digest_of, hex0x
from hallmark.core.documents import HPKEKey, KeyBundle
from hallmark.core.errors import HallmarkError, VerificationFailed
from hallmark.core.statements import Registration
from hallmark.core.upstreams import key_info, origin_of, require_key
from hallmark.crypto.hpke import AEAD_CHACHA20, KDF_SHA256, KEM_X25519, HPKEPrivateKey, seal
from hallmark.services.enclave.provider_keys import ProviderKeys
from hallmark.services.node.key_sealing import SealRequest, read_asked
from hallmark.services.node.sealer import KeyFile, Settings, hpke_key, read_key, seal_all
from hallmark.testing.development import DevelopmentNetwork
from hallmark.testing.dossiers import Notary
from hallmark.verification.trust import Trust

URL = "https://api.example/v1#large"
KEY = b"sk-canary-1"
PRIVATE = HPKEPrivateKey(bytes(range(32)))
UPSTREAMS = {"large": URL, "other": "https://other.example/v1"}


@pytest.fixture(scope="module")
def attested() -> tuple[SealRequest, Trust, int]:
    """An enclave whose bundle names the HPKE key, its evidence, and the trust file that accepts it."""
    import msgspec

    net = DevelopmentNetwork()
    node = net.nodes[0]
    old = net.bundle(node)
    key = HPKEKey(1, KEM_X25519, KDF_SHA256, AEAD_CHACHA20, hex0x(PRIVATE.public))
    bundle = msgspec.structs.replace(old, hpke=(key,)).encode()
    size, root = net.beacon()
    evidence = net.evidence(bundle, size, root).encode()
    registration = net.registration(node).statement
    assert isinstance(registration, Registration)
    statement = msgspec.structs.replace(registration, beacon_size=size, beacon_root=root).pack()
    return SealRequest(bundle.decode(), evidence, statement), net.trust(Notary(net)), net.now


def held(bundle: bytes = bytes(32)) -> ProviderKeys:
    """An enclave's keys."""
    return ProviderKeys(PRIVATE, bundle, UPSTREAMS)


def test_a_sealed_key_is_opened_by_its_enclave_for_its_origin_alone() -> None:
    """Another bundle, label or origin, another key, a changed byte: refused, and nothing is held."""
    keys = held()
    good = seal(KEY, PRIVATE.public, key_info(bytes(32), "large", URL))
    assert keys.take("large", good) == ""
    assert keys.authorization("large") == b"Bearer " + KEY
    assert keys.authorization("other") == b""
    wrong = (
        seal(KEY, PRIVATE.public, key_info(bytes([1]) * 32, "large", URL)),
        seal(KEY, PRIVATE.public, key_info(bytes(32), "other", URL)),
        seal(KEY, PRIVATE.public, key_info(bytes(32), "large", "https://evil.example/v1")),
        seal(KEY, PRIVATE.public, key_info(bytes(32), "large", "https://api.example:8443/v1")),
        seal(KEY, HPKEPrivateKey(bytes(32)).public, key_info(bytes(32), "large", URL)),
        good[:-1] + bytes([good[-1] ^ 1]),
        b"x",
    )
    for sealed in wrong:
        fresh = held()
        assert fresh.take("large", sealed) == "sealed_for_another"
        assert fresh.authorization("large") == b""
    assert held().take("none", good) == "unknown_upstream"


def test_keys_are_rotated_and_taken_away() -> None:
    """A newer key takes the older one's place; an empty message takes it away."""
    keys = held()
    for key in (b"sk-1", b"sk-2"):
        assert keys.take("large", seal(key, PRIVATE.public, key_info(bytes(32), "large", URL))) == ""
        assert keys.authorization("large") == b"Bearer " + key
    assert keys.take("large", b"") == ""
    assert keys.authorization("large") == b""


def test_nothing_is_sealed_without_evidence(attested: tuple[SealRequest, Trust, int]) -> None:
    """The key is sealed to what the evidence binds; no evidence, another bundle, another root: never."""
    import msgspec

    asked, trust, now = attested
    assert hpke_key(asked, trust, now) == PRIVATE.public
    other = msgspec.structs.replace(KeyBundle.decode(asked.bundle.encode()), epoch=9).encode().decode()
    policy = msgspec.structs.replace(trust.attestation, roots={"nitro-dev": ("0x" + "00" * 32,)})
    cases = (
        (msgspec.structs.replace(asked, evidence=b""), trust),
        (msgspec.structs.replace(asked, bundle=other), trust),
        (asked, msgspec.structs.replace(trust, attestation=policy)),
        (asked, msgspec.structs.replace(trust, measurement=())),
    )
    for case, trusted in cases:
        with pytest.raises(VerificationFailed) as caught:
            hpke_key(case, trusted, now)
        assert caught.value.reason == "upstream_key_unattested"
    assert read_asked(msgspec.json.encode(asked)) == asked


def test_a_key_file_that_others_can_read_is_refused(
    attested: tuple[SealRequest, Trust, int], tmp_path: Path
) -> None:
    """Owner only; a missing file is no key; what is sealed opens in the enclave that asked."""
    asked, trust, now = attested
    path = tmp_path / "key"
    assert read_key(path) is None
    vanilla = SealRequest(asked.bundle, b"", b"")
    assert seal_all(vanilla, Settings("", {"large": KeyFile(URL, str(path))}), trust, now).keys == {}
    path.write_bytes(KEY + b"\n")
    path.chmod(0o640)
    with pytest.raises(HallmarkError) as caught:
        read_key(path)
    assert caught.value.reason == "key_file_open"
    path.chmod(0o600)
    settings = Settings("", {"large": KeyFile(URL, str(path)), "other": KeyFile(URL, str(tmp_path / "no"))})
    sealed = seal_all(asked, settings, trust, now)
    assert set(sealed.keys) == {"large"}
    assert KEY not in sealed.keys["large"]
    keys = held(digest_of(KeyBundle, asked.bundle.encode()))
    assert keys.take("large", sealed.keys["large"]) == ""
    assert keys.authorization("large") == b"Bearer " + KEY


@pytest.mark.parametrize(
    ("key", "url", "reason"),
    [
        (b"", URL, "bad_upstream_key"),
        (b"a b", URL, "bad_upstream_key"),
        (b"a\r\nx: y", URL, "bad_upstream_key"),
        ("\u00e9".encode(), URL, "bad_upstream_key"),
        (b"x" * 5000, URL, "bad_upstream_key"),
        (KEY, "http://api.example/v1", "upstream_key_in_clear"),
    ],
)
def test_keys_that_are_none(key: bytes, url: str, reason: str) -> None:
    """What could break a header, or would cross a network in clear, is refused."""
    with pytest.raises(HallmarkError) as caught:
        require_key(key, url)
    assert caught.value.reason == reason


def test_origins() -> None:
    """Scheme, host and port, whatever the path and the model's name there."""
    assert origin_of("https://API.example/v1#m") == "https://api.example:443"
    assert origin_of("http://[::1]:9/v1") == "http://[::1]:9"
    assert require_key(KEY + b"\n", "http://127.0.0.1:1/v1") == KEY
    for url in ("ftp://a/", "https://", "https://a:99999/", "x"):
        with pytest.raises(HallmarkError):
            origin_of(url)
