"""Which storage a blob store has, by URL.

(empty)                                                    the store's own directory
s3+https://HOST/BUCKET[/PREFIX][?region=REGION]            an S3-compatible bucket, path-style
walrus+https://PUBLISHER[?aggregator=URL&epochs=N&permanent=true]   Walrus, or another blob store
slivers+file:///COMMITTEE.json[?answer_s=N&grace_s=N]          storage nodes
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from hallmark.core.errors import InvalidInput
from hallmark.http.client import Pool
from hallmark.services.hub.client import HubClient
from hallmark.services.hub.s3 import Credentials, S3Storage
from hallmark.services.hub.settings import Settings
from hallmark.services.hub.slivers import SliverStorage
from hallmark.services.hub.staging import Staging
from hallmark.services.hub.storage import DirectoryStorage, Storage
from hallmark.services.hub.walrus import WalrusStorage
from hallmark.services.storage_node.encoder import Encode, Encoder
from hallmark.services.storage_node.service import load_committee


def make_storage(
    settings: Settings,
    staging: Staging,
    identify: Callable[[Path], Awaitable[bytes]],
    *,
    encode: Encode | None = None,
) -> Storage:
    """The storage that the settings name. Raises InvalidInput `bad_storage_url`, `bad_storage_key`,
    `bad_committee`, Unavailable `blob_disk`.
    """
    folder = Path(settings.directory)
    if not settings.storage:
        return DirectoryStorage(folder)
    parts = urlsplit(settings.storage)
    if parts.scheme == "slivers+file":
        return _slivers(settings, staging, identify, encode)
    kind, _, scheme = parts.scheme.partition("+")
    query = dict(parse_qsl(parts.query))
    endpoint = f"{scheme}://{parts.netloc}"
    if scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise _bad()
    if kind == "s3" and query.keys() <= {"region"}:
        lines = _key(settings).split()
        if len(lines) != 2:
            raise InvalidInput(
                "bad_storage_key", "The key file of a bucket has two words: access key and secret."
            )
        keys = Credentials(lines[0], lines[1], query.get("region", "us-east-1"))
        return S3Storage(endpoint, parts.path, keys, Pool())
    if kind == "walrus" and query.keys() <= {"aggregator", "epochs", "permanent"}:
        pool, secret = Pool(), _key(settings) if settings.storage_key_file else ""
        asked = "&".join(f"{name}={query[name]}" for name in ("epochs", "permanent") if name in query)
        url = endpoint + parts.path
        return WalrusStorage(
            HubClient(url, pool, secret=secret),
            HubClient(query.get("aggregator", url), pool),
            pool,
            asked,
            records=folder / "records",
            staging=staging,
            identify=identify,
            most=settings.most_blob,
        )
    raise _bad()


def _slivers(
    settings: Settings,
    staging: Staging,
    identify: Callable[[Path], Awaitable[bytes]],
    encode: Encode | None,
) -> Storage:
    parts = urlsplit(settings.storage)
    query = dict(parse_qsl(parts.query))
    seconds = {"answer_s": "30", "grace_s": "1"} | query
    usable = parts.path and not parts.netloc and not parts.fragment and len(seconds) == 2
    for text in seconds.values():
        usable = usable and text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 3_600
    if not usable:
        raise _bad()
    committee = load_committee(Path(unquote(parts.path)))
    return SliverStorage(
        committee,
        records=Path(settings.directory) / "records",
        staging=staging,
        identify=identify,
        encode=encode or Encoder(staging.folder, settings.at_once, committee.shards),
        secret=_key(settings) if settings.storage_key_file else "",
        answer_s=float(seconds["answer_s"]),
        grace_s=float(seconds["grace_s"]),
        free=settings.free,
    )


def _key(settings: Settings) -> str:
    try:
        return Path(settings.storage_key_file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "bad_storage_key", "The key file of the storage cannot be read.", "See storage_key_file."
        ) from error


def _bad() -> InvalidInput:
    return InvalidInput(
        "bad_storage_url",
        "A storage is s3+https://HOST/BUCKET, walrus+https://PUBLISHER, slivers+file:///FILE, or none.",
        "See docs/blobs.md.",
    )
