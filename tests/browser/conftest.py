"""One browser for all of these tests, and pages that fail a test by themselves.

A page that asks any other machine for anything, logs an error, breaks its content-security policy or throws
fails the test that opened it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parent))  # the package `browsing` beside this file

from browsing.watched import ARGUMENTS, CHROMIUM, Watched

from hallmark.compose.browser import build_browser
from hallmark.services.chain.toolchain import prepare

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "ci-output"

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's chromium, and the pages' scripts as they stand. In CI it never skips."""
    if not CHROMIUM.exists() and not os.environ.get("CI"):
        pytest.skip(f"there is no chromium at {CHROMIUM}: apt-get install {CHROMIUM.name}")
    prepare(ROOT)
    build_browser(ROOT)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens pages: `opened(dark=True, width=360)`; whatever went wrong on one fails the test at its end."""
    watched = Watched(browser)
    yield watched.page
    watched.close()
    assert watched.problems == []


@pytest.fixture(scope="session")
def output() -> Path:
    """Where screenshots and reports are kept."""
    OUTPUT.joinpath("screenshots").mkdir(parents=True, exist_ok=True)
    return OUTPUT
