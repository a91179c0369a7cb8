"""The published JSON schemas (draft 2020-12), made from the types so that they cannot drift apart."""

from __future__ import annotations

from typing import Any

import msgspec

from hallmark.core.receipt import Receipt
from hallmark.core.typed import TypedStruct
from hallmark.verification.dossier import Dossier

DIALECT = "https://json-schema.org/draft/2020-12/schema"
RECEIPT_FILE = "receipt.schema.json"
DOSSIER_FILE = "dossier.schema.json"


def receipt_schema() -> dict[str, Any]:
    """Schema of a receipt's EIP-712 JSON form: every field, in signing order, nothing else."""
    return {
        "$schema": DIALECT,
        "$id": RECEIPT_FILE,
        "title": "Hallmark receipt",
        "description": "The EIP-712 JSON form of a receipt. Times are unix milliseconds.",
        **_object(Receipt),
    }


def dossier_schema() -> dict[str, Any]:
    """Schema of a saved receipt (`r.json`); the receipt itself is in receipt.schema.json."""
    (found,), parts = msgspec.json.schema_components([Dossier], ref_template="#/$defs/{name}")
    body = dict(parts.pop(found["$ref"].rsplit("/", 1)[-1]))
    properties = dict(body["properties"])
    properties["format"] = {"const": "hallmark.dossier/1"}
    properties["receipt"] = {"$ref": RECEIPT_FILE}
    return {
        "$schema": DIALECT,
        "$id": DOSSIER_FILE,
        **body,
        "title": "Hallmark dossier",
        "description": "One saved receipt with everything that a stranger needs to verify it.",
        "properties": properties,
        "$defs": parts,
    }


def _object(cls: type[TypedStruct]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in cls.fields():
        if field.kind.startswith("uint"):
            limit = (1 << (8 * field.size)) - 1
            properties[field.wire] = {"type": "integer", "minimum": 0, "maximum": limit}
        else:
            properties[field.wire] = {"type": "string", "pattern": rf"^0x[0-9a-f]{{{2 * field.size}}}$(?!\n)"}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def text(schema: dict[str, Any]) -> bytes:
    """A schema as it is published."""
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"
