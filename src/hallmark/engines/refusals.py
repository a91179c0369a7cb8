"""What an upstream server's refusal becomes: an error that names the server, keeps its status and its word on
asking again, and quotes nothing. Its text may quote the request, so only codes that are known are taken over.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

import msgspec

from hallmark.core.errors import HallmarkError, InvalidInput, NotFound, Unauthorized, Unavailable
from hallmark.http.connection import Response
from hallmark.http.retry import retry_after_of

# Reasons of a provider that clients act upon; any other becomes `upstream_rejected`.
KNOWN_CODES: Final = frozenset(
    {"context_length_exceeded", "content_filter", "invalid_value", "unsupported_parameter"}
)
# Codes that are told beside our own.
OTHER_CODES: Final = frozenset(
    {
        "billing_hard_limit_reached",
        "insufficient_quota",
        "invalid_api_key",
        "model_not_found",
        "overloaded_error",
        "rate_limit_exceeded",
        "server_error",
    }
)
# Limits that no second try gets around.
LASTING: Final = frozenset({"billing_hard_limit_reached", "insufficient_quota"})
STATUSES: Final = frozenset(int(status) for status in HTTPStatus)
AFTER: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?|[A-Z][a-z]{2}, [0-9A-Za-z: ]{20,22} GMT")
AGAIN: Final = "It may have done its work all the same: ask again only if that may be paid twice."
PARAM: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,100}")


class UpstreamRejected(InvalidInput):
    """The server refuses the request; `param` is the parameter that it names, if any."""

    param: str | None = None


class UpstreamLimited(Unavailable):
    """The server limits the rate of requests."""

    status = 429


class UpstreamUnauthorized(Unauthorized):
    """The server does not accept this node's credentials."""


class UpstreamFailed(Unavailable):
    """The server failed, or its answer is none. It may have read its request, which nobody sends again."""

    status = 502
    retry = False


def refusal(name: str, response: Response, body: bytes) -> HallmarkError:
    """The error for a server's refusal: its status, what of its code is known, and when to ask again.

    UpstreamRejected `upstream_rejected` (or a code of KNOWN_CODES), UpstreamUnauthorized
    `upstream_unauthorized`, UpstreamLimited `upstream_rate_limited`, NotFound `model_not_found`,
    UpstreamFailed `upstream_failed`.
    """
    status = response.status
    code, param = _said(body)
    error = _error(name, status, code)
    if isinstance(error, UpstreamRejected):
        error.param = param if isinstance(param, str) and PARAM.fullmatch(param) else None
    # Statuses that HTTP does not know (529) count as the general one of their class.
    known = status in STATUSES
    error.status = status if known and status >= 400 else {4: 400, 5: 503}.get(status // 100, 502)
    told = response.header(b"x-should-retry")
    error.retry = (status in (408, 429) or status >= 500) and told != b"false" and code not in LASTING
    error.retry_after = _after(response)
    return error


def _error(name: str, status: int, code: str) -> HallmarkError:
    why = f"status {status}" + (f", {code}" if code else "")
    if status in (401, 403):
        return UpstreamUnauthorized(
            "upstream_unauthorized",
            f"{name} did not accept the node's credentials ({why}).",
            "The key that is used there is the node operator's to mend.",
        )
    if status == 429:
        return UpstreamLimited("upstream_rate_limited", f"{name} limits the rate of requests ({why}).")
    if status == 404:
        return NotFound("model_not_found", f"{name} does not know this model ({why}).")
    if 400 <= status < 500:
        reason = code if code in KNOWN_CODES else "upstream_rejected"
        return UpstreamRejected(reason, f"{name} refused the request ({why}).")
    return UpstreamFailed("upstream_failed", f"{name} failed ({why}).")


def _said(body: bytes) -> tuple[str, object]:
    """The code that a refusal names, where it is one that is known, and the parameter."""
    try:
        error = msgspec.json.decode(body)["error"]
        code, param = error.get("code") or error.get("type"), error.get("param")
    except Exception:
        return "", None
    return (code if isinstance(code, str) and code in KNOWN_CODES | OTHER_CODES else ""), param


def _after(response: Response) -> str:
    value = retry_after_of(response)
    if AFTER.fullmatch(value):
        return value
    milliseconds = (response.header(b"retry-after-ms") or b"").decode("latin-1")
    return str(-(-int(milliseconds) // 1000)) if re.fullmatch(r"[0-9]{1,8}", milliseconds) else ""
