"""What several integration tests share: real networks, started by the command line and stopped at the end;
one PostgreSQL server; the databases under which every hot store keeps the same rules. Files that share a
network run in one process, so that each network is started once.
"""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from hallmark.store.raw import RawDatabase
from hallmark.testing import postgres
from hallmark.testing.held_upstream import HeldUpstream, held_upstream
from hallmark.testing.real_network import Network, hallmark, logs, start_network
from hallmark.testing.tool_server import tool_server

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHARED = ("network", "tool_network", "paid_network")
FIRST = (
    "paid_network",
    "network",
    "test_anchor_service",
    "test_chaos_disk",
    "tool_network",
    "test_upstream",
    "test_enclave_node",
    "test_chaos",
    "test_paid_start",
    "test_chaos_postgres",
    "test_enclave_image",
    "test_enclave_sealed",
)
"""The groups that take longest."""


@functools.cache
def group_of(file: str) -> str:
    """The network that a file shares with others, or the file itself."""
    tree = ast.parse((ROOT / file).read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    asked = {a.arg for f in functions if f.decorator_list or f.name.startswith("test_") for a in f.args.args}
    # some files have a network of that name of their own
    shared = [name for name in SHARED if name in asked - {f.name for f in functions}]
    return shared[0] if shared else Path(file).stem


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, while there is other work beside it."""

    def place(item: pytest.Item) -> tuple[int, str]:
        group = group_of(item.path.relative_to(ROOT).as_posix())
        return FIRST.index(group) if group in FIRST else len(FIRST), group

    ours = [item.path.is_relative_to(HERE) for item in items]
    if all(ours):
        items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """With `--dist loadfile`, files that share a network go to one process, which starts it once."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return ByNetwork(config, log)


class ByNetwork(LoadFileScheduling):
    """Hands out groups of files, in the order of `pytest_collection_modifyitems`."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])


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
