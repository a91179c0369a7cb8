"""Signing in with a key that stays where it is: in the browser's memory, or on the command line's machine.

1. The page brings a challenge. 2. The key signs it: script does, from a key file that never leaves the
browser; without it `hallmark review sign-in` prints a link to this page that carries the signed challenge.
3. The form brings the proof back; the answer is a new session in a cookie. A proof counts once, for five
minutes.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from hallmark.apps.web.formatting import LOCAL
from hallmark.apps.web.forms import read_form, signed_form
from hallmark.apps.web.render import answer
from hallmark.apps.web.surfaces import Surfaces
from hallmark.core.errors import InvalidInput
from hallmark.services.review.sessions import Challenge, SignInRequest

LONGEST: Final = 4_096


class SignInPage(msgspec.Struct, frozen=True):
    """A challenge to sign. `key`: of whom the proof in the address says it is, not verified yet; or ""."""

    challenge: Challenge
    key: str = ""


def routes(surfaces: Surfaces) -> list[BaseRoute]:
    """`/sign-in` and `/sign-out`."""
    pages = SigningIn(surfaces)
    post = ["POST"]
    return [
        Route("/sign-in", pages.page),
        Route("/sign-in", pages.sign_in, methods=post),
        Route("/sign-out", pages.sign_out, methods=post),
    ]


class SigningIn:
    """The pages."""

    def __init__(self, surfaces: Surfaces) -> None:
        self._surfaces, self._sessions = surfaces, surfaces.sessions

    async def page(self, request: Request) -> Response:
        """The form, with a fresh challenge."""
        brought = request.query_params.get("proof", "")
        key = str(proof_of(brought).statement.get("key", "")) if brought else ""
        view = SignInPage(self._sessions.challenge(), key)
        return answer(
            request, "sign-in.html", view, proof=brought, next=local(request.query_params.get("next", ""))
        )

    async def sign_in(self, request: Request) -> Response:
        """Take a proof; the session that the browser brought along ends."""
        form = await read_form(request, self._surfaces.public_url)
        brought = self._sessions.cookie_of(dict(request.headers))
        session = await self._sessions.sign_in(proof_of(form.text("proof")), brought)
        return self._to(local(form.text("next")), session.token)

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        await signed_form(request, self._surfaces)
        await self._sessions.sign_out(self._sessions.cookie_of(dict(request.headers)))
        return self._to("/", "")

    def _to(self, path: str, token: str) -> Response:
        # A browser that pages of another site send here comes without its session, for reading too.
        cookie = self._sessions.set_cookie(token)
        return RedirectResponse(path, 303, {"set-cookie": cookie})


def proof_of(text: str) -> SignInRequest:
    """A proof from its base64url form (RFC 4648 section 5, no padding). Raises InvalidInput `bad_proof`."""
    try:
        if not 0 < len(text) <= LONGEST:
            raise ValueError("length")
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(data, type=SignInRequest)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise InvalidInput(
            "bad_proof", "This is not a signed challenge.", "Sign in again: with a key file, or a new link."
        ) from error


def local(path: str) -> str:
    """A path of this site to go on to; the queue for anything else."""
    return path if LOCAL.fullmatch(path) else "/review"
