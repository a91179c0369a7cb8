"""Migrations: for each component a list of functions, run once each, in order, each in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from hallmark.core.errors import Unavailable
from hallmark.store.database import Database

Migration: TypeAlias = Callable[[Connection], None]

METADATA = sa.MetaData()
APPLIED = sa.Table(
    "migrations",
    METADATA,
    sa.Column("component", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
)


def migrate(database: Database, component: str, migrations: Sequence[Migration]) -> int:
    """Bring a component's tables up to date; returns the version, the number of migrations ever applied.

    Raises Unavailable `store_newer` when the tables were made by a newer release, and what the store raises.
    """
    database.write(lambda connection: METADATA.create_all(connection))
    while True:
        version = database.write(lambda connection: _step(connection, component, migrations))
        if version is None:
            return len(migrations)


def _step(connection: Connection, component: str, migrations: Sequence[Migration]) -> int | None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("LOCK TABLE migrations IN EXCLUSIVE MODE"))
    found = connection.scalar(sa.select(APPLIED.c.version).where(APPLIED.c.component == component))
    version = int(found or 0)
    if version > len(migrations):
        raise Unavailable(
            "store_newer",
            f"The store's {component} tables are of version {version}; this release knows {len(migrations)}.",
            "Run the release that made them, or a newer one.",
        )
    if version == len(migrations):
        return None
    migrations[version](connection)
    if found is None:
        connection.execute(APPLIED.insert().values(component=component, version=1))
    else:
        connection.execute(
            APPLIED.update().where(APPLIED.c.component == component).values(version=version + 1)
        )
    return version + 1
