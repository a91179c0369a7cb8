"""What a database says when it cannot do its work, in the words of the core's error tree."""

from __future__ import annotations

import sqlite3
from typing import Final

from hallmark.core.errors import Conflict, Unavailable

FULL_SQLITE: Final = {sqlite3.SQLITE_FULL}
FULL_POSTGRES: Final = {"53100"}
HINT_FULL: Final = "Free some space; nothing was half written."


class ConstraintBroken(Conflict):
    """A row breaks a constraint of its table; what that means is for the caller to say."""

    def __init__(self) -> None:
        super().__init__("constraint_broken", "A row is there already, or contradicts another.")


def unavailable(error: Exception) -> Unavailable:
    """Unavailable `store_full` when space ran out, `store_unavailable` for everything else.

    `error` is an exception of SQLAlchemy, `sqlite3` or psycopg.
    """
    cause = getattr(error, "orig", error)
    code = getattr(cause, "sqlite_errorcode", None)
    state = getattr(cause, "sqlstate", None)
    if code in FULL_SQLITE or state in FULL_POSTGRES:
        return Unavailable("store_full", "The store has no space left.", HINT_FULL)
    detail = str(code or state or type(cause).__name__)
    return Unavailable("store_unavailable", f"The store cannot do it now (code {detail}).")
