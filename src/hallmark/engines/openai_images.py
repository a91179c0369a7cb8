"""/v1/images/generations as OpenAI has it: what is read of a request and of an answer.

A receipt commits to an answer's bytes. A link in it is no image: what is behind it may be another tomorrow.
So images come as base64 in the answer (`b64_json`), and links are refused in both directions.
"""

from __future__ import annotations

import base64
from typing import Final

import msgspec

from hallmark.engines.request_errors import invalid_value, unsupported_parameter

MOST_IMAGES: Final = 10
"""How many images one request may ask for, as OpenAI allows."""
SIGNATURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""How PNG and JPEG begin. WebP is a RIFF, as sounds and films are, and says so behind its length."""


class AskedImages(msgspec.Struct, frozen=True):
    """What is read of a request: everything else passes through unread."""

    prompt: str
    n: int | None = None
    response_format: str | None = None
    stream: bool | None = None


class _Image(msgspec.Struct, frozen=True):
    b64_json: str


class _Images(msgspec.Struct, frozen=True):
    data: tuple[_Image, ...]


def check_images(asked: AskedImages) -> None:
    """Raises BadParameter `invalid_value`, `unsupported_parameter` with the member named."""
    if asked.n is not None and not 1 <= asked.n <= MOST_IMAGES:
        raise invalid_value("n", f"a number from 1 to {MOST_IMAGES}")
    if asked.response_format not in (None, "b64_json"):
        raise unsupported_parameter(
            "response_format", "A receipt covers an image, not a link: ask for b64_json."
        )
    if asked.stream:
        raise unsupported_parameter("stream", "Images come whole: leave 'stream' out.")


def images_of(answer: bytes) -> tuple[bytes, ...] | None:
    """The images of an answer's JSON object; None when it is not of that form, or an image is none."""
    try:
        found = msgspec.json.decode(answer, type=_Images)
        images = tuple(base64.b64decode(image.b64_json, validate=True) for image in found.data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return images if all(map(is_image, images)) else None


def is_image(data: bytes) -> bool:
    """Whether bytes begin as PNG, JPEG or WebP do."""
    return data.startswith(SIGNATURES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
