"""A machine on which no network could run is refused at once, with the reason."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hallmark.compose import preflight
from hallmark.compose.home import Home
from hallmark.core.errors import InvalidInput, Unavailable
from hallmark.services.node import machine


def test_a_checkout_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing could be built in it."""
    preflight.check_checkout(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(Unavailable) as caught:
        preflight.check_checkout(tmp_path)
    assert caught.value.reason == "checkout_unwritable"


@pytest.mark.parametrize("hard", [64, 1023])
def test_few_open_files_are_refused(monkeypatch: pytest.MonkeyPatch, hard: int) -> None:
    """The hard limit decides; a low soft limit is raised."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, hard))
    with pytest.raises(Unavailable) as caught:
        preflight.check_files()
    assert caught.value.reason == "too_few_files"


def test_a_low_soft_limit_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services inherit what is raised here."""
    kept: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: kept.append(limits))
    preflight.check_files()
    assert kept == [(preflight.OPEN_FILES, 4096)]


@pytest.mark.parametrize("said", ["bwrap: No permissions to create new namespace", ""])
def test_a_machine_without_user_namespaces_is_refused(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Whatever bwrap says of it, the reason code is ours, and says what to change."""

    def refused(argv: Any, **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 1, "", said)

    monkeypatch.setattr(machine, "tool", lambda name, _: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "run", refused)
    with pytest.raises(Unavailable) as caught:
        preflight.check_sandbox()
    assert caught.value.reason == "no_user_namespaces"
    assert "max_user_namespaces" in caught.value.hint


def test_a_home_that_is_not_utf8_is_refused() -> None:
    """Settings are JSON, and store addresses are URLs: such a path could stand in neither."""
    with pytest.raises(InvalidInput) as caught:
        Home(Path("/tmp") / b"\xff".decode(errors="surrogateescape"))
    assert caught.value.reason == "home_not_utf8"
