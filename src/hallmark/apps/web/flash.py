"""What a page says once after an act: told by the act itself, never by an address.

An address can be written down, sent and opened by anybody, so nothing in it may turn into a statement. The
answer to an act hands the browser a cookie that names the act and the page, under a MAC of the session's own
secret; that page says it once, to that session, and takes the cookie back.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hallmark.apps.web.render import wants_json
from hallmark.apps.web.visitor import visitor_of

DONE: Final[Mapping[str, str]] = {
    "review": "Your signed review was taken and goes into the log. It is one more mark and clears nothing.",
    "assign": "The item has another assignee now.",
    "declare": "What the item is about was declared.",
    "comment": "Your remark was kept.",
    "appeal": "The appeal is open.",
    "answer": "The appeal is answered.",
    "release": "Released under break-glass in your name. The item stays in HOLD.",
    "reject": "The item is REJECTED.",
    "view-saved": "The filter was saved.",
    "view-forgotten": "The filter's name was dropped.",
    "webhook-removed": "The receiver was removed.",
    "redelivered": "The delivery will be tried again.",
    "proposed": "The policy was proposed. It counts once the authority has signed it and the log holds it.",
}
COOKIE: Final = "hallmark-done"
SECONDS: Final = 60


def noted(request: Request, response: Response, act: str, page: str) -> Response:
    """The answer to an act, so that `page` (a path) says once that it was done, to this session alone."""
    csrf = visitor_of(request.scope).csrf
    if csrf:
        response.headers.append("set-cookie", _cookie(f"{act}.{_mac(csrf, act, page)}", SECONDS))
    return response


def on_to(request: Request, act: str, address: str) -> Response:
    """On to a page of this site that says once that the act was done."""
    return noted(request, RedirectResponse(address, 303), act, address.partition("?")[0])


def said(request: Request) -> str:
    """What this page says of an act that this session has just done; "" for anybody else, and elsewhere."""
    if wants_json(request):
        return ""
    cookies = SimpleCookie()
    try:
        cookies.load(request.headers.get("cookie", ""))
    except CookieError:
        return ""
    kept = cookies.get(COOKIE)
    act, _, mac = (kept.value if kept is not None else "").partition(".")
    csrf = visitor_of(request.scope).csrf
    if act not in DONE or not csrf or not mac.isascii():
        return ""
    return DONE[act] if hmac.compare_digest(mac, _mac(csrf, act, request.url.path)) else ""


def once(told: str) -> dict[str, str]:
    """The headers of a page that said `told`: its cookie is taken back."""
    return {"set-cookie": _cookie("", 0)} if told else {}


def _mac(csrf: str, act: str, page: str) -> str:
    return hmac.digest(csrf.encode(), f"hallmark/done\0{act}\0{page}".encode(), "sha256").hex()


def _cookie(value: str, age: int) -> str:
    return f"{COOKIE}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict"
