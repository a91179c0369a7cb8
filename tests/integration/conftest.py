"""What several integration tests share: real networks, started by the command line and stopped at the end;
one PostgreSQL server; the databases under which every hot store keeps the same rules.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hallmark.store.raw import RawDatabase
from hallmark.testing import postgres
from hallmark.testing.held_upstream import HeldUpstream, held_upstream
from hallmark.testing.real_network import Network, hallmark, logs, start_network
from hallmark.testing.tool_server import tool_server


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A development network that stays up for the whole session."""
    # What a path may hold and a URL may not, so that no file ends up beside the home.
    home = tmp_path_factory.mktemp("network") / "home?of=a #100%25 network"
    started = hallmark(home, "up", "--detach", "--no-ask")
    assert started.returncode == 0, started.stdout + started.stderr + logs(home)
    yield Network(home)
    stopped = hallmark(home, "down")
    assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="session")
def tool_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A development network with an upstream server, `big`, that calls tools, for the whole session."""
    home = tmp_path_factory.mktemp("tools") / "home"
    with tool_server() as upstream:
        start_network(home, "--no-ask", "--upstream", f"big={upstream}")
        yield Network(home)
        stopped = hallmark(home, "down")
    assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="session")
def held() -> Iterator[HeldUpstream]:
    """What answers as the model `held` of the paid network."""
    with held_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def paid_network(tmp_path_factory: pytest.TempPathFactory, held: HeldUpstream) -> Iterator[Network]:
    """A development network whose owners price everything, for the whole session."""
    home = tmp_path_factory.mktemp("paid") / "home"
    start_network(home, "--paid", "--no-ask", "--upstream", f"held={held.url}")
    yield Network(home)
    stopped = hallmark(home, "down")
    assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server: HALLMARK_TEST_POSTGRES, or one of our own."""
    given = os.environ.get("HALLMARK_TEST_POSTGRES")
    if given:
        yield given
    elif postgres.binaries() is None:
        pytest.skip("no PostgreSQL server is installed and HALLMARK_TEST_POSTGRES is not set")
    else:
        with postgres.server() as url:
            yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind that hot stores run on."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/hot.db"
    url: str = request.getfixturevalue("postgres_url")
    database = RawDatabase(url)
    database.write(lambda t: [t.execute("DROP SCHEMA public CASCADE"), t.execute("CREATE SCHEMA public")])
    database.close()
    return url


@pytest.fixture
def opened(empty_url: str) -> Iterator[Callable[[], RawDatabase]]:
    """Opens the same empty database again and again; all are closed at the end."""
    open_ones: list[RawDatabase] = []

    def again() -> RawDatabase:
        open_ones.append(RawDatabase(empty_url))
        return open_ones[-1]

    yield again
    for database in open_ones:
        database.close()
