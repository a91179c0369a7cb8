"""Durable state by URL: SQLite on one machine, PostgreSQL when that is outgrown."""

from hallmark.store.database import Database
from hallmark.store.migrations import Migration, migrate

__all__ = ["Database", "Migration", "migrate"]
