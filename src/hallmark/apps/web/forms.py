"""Forms: read, and refused when they may not come from our own pages.

A form that changes something is taken only when (1) the browser says that it comes from this origin, (2) it
carries the session's CSRF token, (3) somebody is signed in. Any one of them failing refuses it.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from hallmark.apps.web.render import origin
from hallmark.apps.web.surfaces import Surfaces
from hallmark.core.errors import HallmarkError, InvalidInput, TooLarge
from hallmark.services.review.sessions import CSRF_FIELD
from hallmark.services.review.views import Person

# Members that no person types.
SILENT: Final = frozenset(
    (CSRF_FIELD, "entry", "salt", "proof", "seen_at", "seen_state", "screen", "item", "shared")
)
GIVEN: Final = "hallmark.form"
LIMIT: Final = 256 * 1024
FIELDS: Final = 2_000


class Refused(HallmarkError):
    """The request may be somebody else's, sent through this browser."""

    status = 403


class Form:
    """The fields of a form, each a list of texts; unknown ones are empty."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, value in pairs:
            self._fields.setdefault(name, []).append(value)

    def text(self, name: str, default: str = "") -> str:
        """The first value, without surrounding white space, with plain line ends."""
        value = self._fields.get(name, [default])[0]
        return value.replace("\r\n", "\n").strip()

    def exact(self, name: str) -> str:
        """The first value just as it was sent: for what a signature covers."""
        return self._fields.get(name, [""])[0]

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a field that may stand more than once."""
        return tuple(self._fields.get(name, ()))

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """What a person typed or chose, by name: to be shown again to them when it was refused."""
        return tuple(
            (name, value)
            for name, values in self._fields.items()
            for value in values
            if name not in SILENT and value.strip()
        )

    def number(self, name: str, default: int | None = None) -> int | None:
        """A whole number, or `default` when the field is empty. Raises InvalidInput `bad_form`."""
        text = self.text(name)
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise InvalidInput("bad_form", "A field must be a whole number of at most 18 digits.")
        return int(text)


def check_site(request: Request, public_url: str) -> None:
    """Refuse a request that a browser sends for another site. Raises Refused `cross_site`.

    `Sec-Fetch-Site` decides where there is one (Fetch Metadata, W3C); else `Origin` (RFC 6454). Programs that
    send neither are no browser, and carry no cookie that they were not given.
    """
    site = request.headers.get("sec-fetch-site", "")
    came_from = request.headers.get("origin", "")
    own = {origin(request, public_url), origin(request, "")}
    # With `Referrer-Policy: no-referrer` a browser writes `Origin: null` on its own pages' forms too.
    if site in ("same-origin", "none") or (not site and came_from in {"", *own}):
        return
    raise Refused(
        "cross_site", "The request comes from another site.", "Open the page here and send it again."
    )


async def read_form(request: Request, public_url: str) -> Form:
    """The form of a request from our own pages.

    Raises Refused `cross_site`, InvalidInput `bad_form`, TooLarge `body_too_large`.
    """
    check_site(request, public_url)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidInput("bad_form", "A form is sent as application/x-www-form-urlencoded.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LIMIT:
            raise TooLarge("body_too_large", f"A form has at most {LIMIT} bytes.")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
    except (UnicodeDecodeError, ValueError) as error:
        raise InvalidInput("bad_form", "The form is not UTF-8 text, or has too many fields.") from error
    form = Form(pairs)
    # An error page shows it again: nothing that was typed is lost because it was refused.
    request.scope[GIVEN] = form
    return form


async def signed_form(request: Request, surfaces: Surfaces) -> tuple[Person, Form]:
    """Who sent a form, and the form. Raises also Unauthorized `not_signed_in`, `csrf`."""
    form = await read_form(request, surfaces.public_url)
    headers = {name.lower(): value for name, value in request.headers.items()}
    # A form always proves itself by its own field; a missing one must not fall back to a header.
    person = await surfaces.sessions.require(headers, csrf=form.text(CSRF_FIELD) or "missing")
    return person, form
