"""Artifacts: their content address, their packing, and the signed manifest that binds both."""

from hallmark.core.blob_ids import blob_text, parse_blob_text
from hallmark.hub.artifact import pack_artifact, pack_files, read_artifact
from hallmark.hub.cache import BlobIdCache, Identity
from hallmark.hub.manifest import Network, make_manifest, publish_label, publish_version, verify_content
from hallmark.hub.walrus import blob_id, blob_id_of_file

__all__ = [
    "BlobIdCache",
    "Identity",
    "Network",
    "blob_id",
    "blob_id_of_file",
    "blob_text",
    "make_manifest",
    "pack_artifact",
    "pack_files",
    "parse_blob_text",
    "publish_label",
    "publish_version",
    "read_artifact",
    "verify_content",
]
