"""Without root: the same sandbox from a verified directory, weaker by name and nowhere else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hallmark.services.node.confinement import Limits
from hallmark.testing import enclaves

pytestmark = pytest.mark.integration
PROBES = Path(__file__).parent / "probes"


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A cache that user nobody owns, with the probe image in it."""
    if os.geteuid() != 0:
        pytest.skip("becoming nobody needs root; run as a user, the other enclave tests are this one")
    place = Path(tempfile.mkdtemp(prefix="hallmark-nobody-", dir="/var/tmp"))
    shutil.copy2(enclaves.image_with(PROBES / "probe_app.py"), place)
    for path in (place, *place.iterdir()):
        os.chown(path, 65534, 65534)
    yield place
    shutil.rmtree(place)


def test_the_sandbox_holds_without_root(nobodys: Path) -> None:
    """Every probe is denied to an enclave that a user without any privilege started."""
    become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    reach = subprocess.run([*become, "test", "-r", str(PROBES / "rootless.py"), "-a", "-x", sys.executable])
    if reach.returncode:
        pytest.skip("this checkout is in a folder that user nobody cannot read")
    done = subprocess.run(
        [*become, sys.executable, "-B", str(PROBES / "rootless.py")],
        env={"PATH": os.environ["PATH"], "HALLMARK_TEST_CACHE": str(nobodys), "HOME": str(nobodys)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["insecure"] == ["root-is-directory", "limits-by-rlimit"]
    for stage in ("loading", "serving"):
        assert {n: out for n, out in found[stage].items() if not out.startswith("E")} == {}
    assert 0 < found["threads"] <= Limits().tasks
