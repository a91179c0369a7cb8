"""/v1/images/edits as OpenAI has it: a form with images in, images in base64 out.

A receipt commits to the form's exact bytes as the client sent them. The provider gets a form that is written
anew from the parts that were read here, and nothing else of it: what is not known is refused by name.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hallmark.engines.openai_images import MOST_IMAGES, AskedImages, check_images, is_image
from hallmark.engines.openai_request import require_text
from hallmark.engines.request_errors import BadParameter, invalid_value, unsupported_parameter
from hallmark.engines.request_parameters import shown
from hallmark.http.multipart import FormPart, read_form, write_form

IMAGES: Final = ("image", "image[]")
"""One image, or each of several, as clients name them."""
TEXTS: Final = ("model", "prompt", "n", "size", "response_format", "stream")
MOST_SOURCES: Final = 16
MOST_PROMPT: Final = 32_000
SIZE: Final = re.compile(r"auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4}")
COUNT: Final = re.compile(r"[0-9]{1,2}")


class Edit(msgspec.Struct, frozen=True):
    """What a request asks: `images` are the parts' names and bytes."""

    model: str
    prompt: str
    images: tuple[tuple[str, bytes], ...]
    mask: bytes | None = None
    n: int | None = None
    size: str | None = None
    response_format: str | None = None

    @property
    def pictures(self) -> tuple[bytes, ...]:
        """All that is seen: the images in order, then the mask."""
        return (*(data for _, data in self.images), *((self.mask,) if self.mask is not None else ()))

    def form(self, model: str) -> tuple[bytes, bytes]:
        """Content-Type and body as they go to a provider, where the model is called `model`."""
        given = {
            "model": model,
            "prompt": self.prompt,
            "n": None if self.n is None else str(self.n),
            "size": self.size,
            "response_format": self.response_format,
        }
        parts = [FormPart(name, text.encode()) for name, text in given.items() if text is not None]
        parts += [_picture(name, data) for name, data in self.images]
        parts += [_picture("mask", self.mask)] if self.mask is not None else []
        return write_form(parts)


def read_edit(content_type: bytes, body: bytes) -> Edit:
    """Read a form. Raises InvalidInput `bad_utf8` and as `read_form`; BadParameter `missing_parameter`,
    `unsupported_parameter`, `invalid_value`, `not_an_image` with the part named.
    """
    images: list[tuple[str, bytes]] = []
    texts: dict[str, str] = {}
    mask = None
    for name, data in read_form(content_type, body):
        if name in IMAGES:
            images.append((name, _checked(name, data)))
        elif name == "mask" and mask is None:
            mask = _checked(name, data)
        elif name in TEXTS and name not in texts:
            texts[name] = _text(data)
        elif name == "mask" or name in TEXTS:
            raise invalid_value(name, "there once")
        else:
            raise unsupported_parameter(shown(name))
    if not images:
        raise _missing("image")
    if len(images) > MOST_SOURCES:
        raise invalid_value("image", f"there at most {MOST_SOURCES} times")
    return _edit(texts, tuple(images), mask)


def _edit(texts: dict[str, str], images: tuple[tuple[str, bytes], ...], mask: bytes | None) -> Edit:
    for name in ("model", "prompt"):
        if not texts.get(name):
            raise _missing(name)
    if len(texts["prompt"]) > MOST_PROMPT:
        raise invalid_value("prompt", f"text of at most {MOST_PROMPT} characters")
    n, size, form = texts.get("n"), texts.get("size"), texts.get("response_format")
    if n is not None and not COUNT.fullmatch(n):
        raise invalid_value("n", f"a number from 1 to {MOST_IMAGES}")
    if size is not None and not SIZE.fullmatch(size):
        raise invalid_value("size", "WIDTHxHEIGHT or auto")
    if texts.get("stream", "false") not in ("true", "false"):
        raise invalid_value("stream", "true or false")
    edit = Edit(texts["model"], texts["prompt"], images, mask, None if n is None else int(n), size, form)
    check_images(AskedImages(edit.prompt, edit.n, form, texts.get("stream") == "true"))
    return edit


def _text(data: bytes) -> str:
    require_text(data)
    return data.decode()


def _checked(name: str, data: bytes) -> bytes:
    if not is_image(data):
        raise BadParameter("not_an_image", f"'{name}' is neither PNG nor JPEG nor WebP.", name)
    return data


def _missing(name: str) -> BadParameter:
    return BadParameter("missing_parameter", f"The parameter '{name}' is missing.", name)


def _picture(name: str, data: bytes) -> FormPart:
    kind = {b"\x89": "png", b"\xff": "jpeg"}.get(data[:1], "webp")
    return FormPart(name, data, f"image/{kind}", f"image.{kind}")
