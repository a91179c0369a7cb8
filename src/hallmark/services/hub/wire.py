"""What a blob store answers, in the words of Walrus's publisher and aggregator: results and errors as JSON.

Errors have the shape of AIP-193, as there. `reason` and `domain` are Walrus's where it has such a reason, and
otherwise ours; our own code and hint stand in `metadata` in any case.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from hallmark.core.document import hex0x
from hallmark.core.errors import HallmarkError
from hallmark.core.hashing import sha256
from hallmark.hub.walrus import encoded_size
from hallmark.services.hub.objects import BlobObject

WALRUS: Final = "daemon.walrus.space"
OURS: Final = "hallmark"
STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "SIZE_EXCEEDED",
    404: "NOT_FOUND",
    405: "INVALID_ARGUMENT",
    408: "DEADLINE_EXCEEDED",
    413: "SIZE_EXCEEDED",
    416: "RANGE_NOT_SATISFIABLE",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
REASONS: Final = {
    "blob_not_found": "BLOB_NOT_FOUND",
    "certificate_not_stored": "BLOB_NOT_FOUND",
    "blob_object_not_found": "BLOB_NOT_FOUND",
    "quilt_patch_not_found": "QUILT_PATCH_NOT_FOUND",
    "bad_byte_range": "INVALID_BYTE_RANGE",
    "bad_store_request": "MALFORMED_REQUEST",
    "bad_quilt": "MALFORMED_REQUEST",
    "bad_multipart": "MALFORMED_REQUEST",
    "bad_quilt_patch_id": "INVALID_ID_FORMAT",
    "blob_deletable_and_permanent": "INVALID_BLOB_PERSISTENCE",
    "blob_check_contradicts": "INVALID_CONSISTENCY_CHECK_OPTIONS",
    "bad_blob_id": "INVALID_ID_FORMAT",
    "blob_too_large": "BLOB_TOO_LARGE",
}
"""Our reason codes that Walrus has a reason for."""


def status_of(error: HallmarkError) -> int:
    """The HTTP status of an error. What does not verify is this server's fault: 500, as at an aggregator."""
    return 500 if error.status == 422 else error.status


def error_body(error: HallmarkError) -> bytes:
    """An error as Walrus's services write them."""
    status = status_of(error)
    reason = REASONS.get(error.reason)
    info = {
        "@type": "ErrorInfo",
        "reason": reason or error.reason.upper(),
        "domain": WALRUS if reason else OURS,
        "metadata": {"code": error.reason, "hint": error.hint},
    }
    return msgspec.json.encode(
        {
            "error": {
                "status": STATUS.get(status, "INTERNAL"),
                "code": status,
                "message": f"{error.message} {error.hint}".rstrip(),
                "details": [info],
            }
        }
    )


def newly_created(made: BlobObject) -> dict[str, Any]:
    """The result for a blob of which an object was made."""
    encoded = encoded_size(made.size)
    return {
        "newlyCreated": {
            "blobObject": {
                "id": hex0x(made.object_id),
                "registeredEpoch": made.registered,
                "blobId": made.blob_id,
                "size": made.size,
                "encodingType": "RS2",
                "certifiedEpoch": made.registered,
                "storage": {
                    "id": hex0x(sha256(made.object_id, b"storage")),
                    "startEpoch": made.registered,
                    "endEpoch": made.ends,
                    "storageSize": encoded,
                },
                "deletable": made.deletable,
            },
            "resourceOperation": {
                "registerFromScratch": {
                    "encodedLength": encoded,
                    "epochsAhead": made.ends - made.registered,
                }
            },
            "cost": 0,
        }
    }


def already_certified(known: BlobObject) -> dict[str, Any]:
    """The result for a blob that is stored for long enough already. There is no event on Sui to name: the
    object's ID stands instead.
    """
    return {
        "alreadyCertified": {
            "blobId": known.blob_id,
            "object": hex0x(known.object_id),
            "endEpoch": known.ends,
        }
    }
