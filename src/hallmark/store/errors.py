"""What a database says when it cannot do its work, in the words of the core's error tree."""

from __future__ import annotations

import sqlite3

import sqlalchemy.exc

from hallmark.core.errors import Unavailable

FULL_SQLITE = {sqlite3.SQLITE_FULL}
FULL_POSTGRES = {"53100"}
HINT_FULL = "Free some space; nothing was half written."


def unavailable(error: sqlalchemy.exc.SQLAlchemyError | sqlite3.Error) -> Unavailable:
    """Unavailable `store_full` when space ran out, `store_unavailable` for everything else."""
    cause = getattr(error, "orig", error)
    code = getattr(cause, "sqlite_errorcode", None)
    state = getattr(cause, "sqlstate", None)
    if code in FULL_SQLITE or state in FULL_POSTGRES:
        return Unavailable("store_full", "The store has no space left.", HINT_FULL)
    detail = str(code or state or type(cause).__name__)
    return Unavailable("store_unavailable", f"The store cannot do it now (code {detail}).")
