"""Durable state by URL: SQLite on one machine, PostgreSQL when that is outgrown."""

from hallmark.store.database import Database, sqlite_url
from hallmark.store.migrations import Migration, migrate
from hallmark.store.packed import Packed
from hallmark.store.terms import Terms, number_of

__all__ = ["Database", "Migration", "Packed", "Terms", "migrate", "number_of", "sqlite_url"]
