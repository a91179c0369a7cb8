"""Durable state by URL: SQLite on one machine, PostgreSQL when that is outgrown."""

from hallmark.store.database import Database, sqlite_url
from hallmark.store.migrations import Migration, migrate

__all__ = ["Database", "Migration", "migrate", "sqlite_url"]
