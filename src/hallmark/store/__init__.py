"""Durable state by URL: SQLite on one machine, PostgreSQL when that is outgrown.

`Database` (over SQLAlchemy) is for stores whose queries are many-sided; `store.raw.RawDatabase` is for
append-only hot stores. Processes that use only the second never load SQLAlchemy: the names here are looked up
when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hallmark.store.urls import sqlite_url

if TYPE_CHECKING:
    from hallmark.store.database import Database
    from hallmark.store.migrations import Migration, migrate
    from hallmark.store.packed import Packed
    from hallmark.store.terms import Term, Terms, number_of

__all__ = ["Database", "Migration", "Packed", "Term", "Terms", "migrate", "number_of", "sqlite_url"]
_MODULES: Final = {
    "Database": "database",
    "Migration": "migrations",
    "Packed": "packed",
    "Term": "terms",
    "Terms": "terms",
    "migrate": "migrations",
    "number_of": "terms",
}


def __getattr__(name: str) -> object:
    """The public names that need SQLAlchemy. Raises AttributeError."""
    if name not in _MODULES:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"hallmark.store.{_MODULES[name]}"), name)
