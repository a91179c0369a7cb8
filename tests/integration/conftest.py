"""One real network for the tests that need a whole one: started by the command line, stopped at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hallmark.testing.running import Network, hallmark, logs


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
