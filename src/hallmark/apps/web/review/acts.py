"""What a form asks for, as the desk's own request structs: every limit they state is kept here too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from hallmark.apps.web.forms import Form
from hallmark.core.errors import InvalidInput
from hallmark.services.review import actions

T = TypeVar("T")
WHERE: Final = re.compile(r"`\$\.?([a-z_.]+)")
HOUR: Final = 3_600_000


def asked_for(kind: type[T], fields: Mapping[str, object]) -> T:
    """`fields` as a request. Raises InvalidInput `bad_form` that names the field, never its content."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        found = WHERE.search(str(error))
        name = found[1].replace("_", " ") if found else "one field"
        raise InvalidInput(
            "bad_form",
            f"The form cannot be used: see {name}.",
            "Go back, and mind the limits beside the field.",
        ) from None


def review_of(form: Form) -> actions.ReviewRequest:
    """A signed review, as the browser made it."""
    fields = {
        "entry": form.text("entry"),
        "comment": form.exact("comment"),
        "internal": form.exact("internal"),
    }
    if not fields["entry"]:
        raise InvalidInput(
            "review_unsigned",
            "A review is signed by your own key, and this form came without a signature.",
            "Sign with a key file in a browser with script, or with `hallmark review decide`.",
        )
    salt = form.text("salt")
    return asked_for(actions.ReviewRequest, fields | ({"salt": salt} if salt else {}))


def declare_of(form: Form) -> actions.DeclareRequest:
    """What an item is about."""
    fields = {"klass": form.text("klass"), "value": form.number("value"), "requester": form.text("requester")}
    return asked_for(actions.DeclareRequest, fields)


def release_of(form: Form, now: int) -> actions.ReleaseRequest:
    """Break-glass, for whole hours from now."""
    hours = form.number("hours", 1) or 1
    fields = {
        "reason": form.text("reason"),
        "text": form.text("text"),
        "until": now + hours * HOUR,
        "screen": form.text("screen"),
    }
    return asked_for(actions.ReleaseRequest, fields)


def reject_of(form: Form) -> actions.RejectRequest:
    """The end of an item."""
    fields = {name: form.text(name) for name in ("reason", "comment", "internal", "screen")}
    return asked_for(actions.RejectRequest, fields)


def comment_of(form: Form) -> actions.CommentRequest:
    """A remark without a judgement."""
    return asked_for(actions.CommentRequest, {name: form.text(name) for name in ("comment", "internal")})
