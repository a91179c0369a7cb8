"""Which storage a blob store has, by URL.

(empty)                                                    the store's own directory
s3+https://HOST/BUCKET[/PREFIX][?region=REGION]            an S3-compatible bucket, path-style
walrus+https://PUBLISHER[?aggregator=URL&epochs=N&permanent=true]   Walrus, or another blob store
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from hallmark.core.errors import InvalidInput
from hallmark.http.client import Pool
from hallmark.services.hub.client import HubClient
from hallmark.services.hub.s3 import Credentials, S3Storage
from hallmark.services.hub.settings import Settings
from hallmark.services.hub.staging import Staging
from hallmark.services.hub.storage import DirectoryStorage, Storage
from hallmark.services.hub.walrus import WalrusStorage


def make_storage(
    settings: Settings, staging: Staging, identify: Callable[[Path], Awaitable[bytes]]
) -> Storage:
    """The storage that the settings name. Raises InvalidInput `bad_storage_url`, `bad_storage_key`,
    Unavailable `blob_disk`.
    """
    folder = Path(settings.directory)
    if not settings.storage:
        return DirectoryStorage(folder)
    parts = urlsplit(settings.storage)
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
        "A storage is s3+https://HOST/BUCKET or walrus+https://PUBLISHER, or none for a directory.",
        "See docs/blobs.md.",
    )
