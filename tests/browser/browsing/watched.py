"""Pages that are watched: what they ask for, log, throw, and which rules of theirs they break."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

# The same engine without the windows and menus of a desktop: a page opens in a quarter of the processor time.
PROGRAMS = (Path("/usr/bin/chromium-headless-shell"), Path("/usr/bin/chromium"))
CHROMIUM = next((program for program in PROGRAMS if program.exists()), PROGRAMS[0])
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No name but the loopback's is ever resolved, whatever a page asks for.
    # `elsewhere.test` is this machine as well: another site, as a browser sees it.
    "--host-resolver-rules=MAP elsewhere.test 127.0.0.1 , MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
# What pages are looked at with: a desk, the narrowest phone, and the width that most phones have.
DESKTOP, PHONE, NARROW = 1280, 360, 390
# How long a page may take to show what a test waits for; a machine that is busy needs it.
PATIENCE_MS = 120_000


class Watched:
    """Opens pages of one browser and keeps what was wrong with them in `problems`."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.problems: list[str] = []

    def page(
        self,
        *,
        dark: bool = False,
        width: int = DESKTOP,
        cookies: Mapping[str, str] | None = None,
        origin: str = "",
        allow: tuple[str, ...] = (),
        beside: Page | None = None,
        **context: Any,
    ) -> Page:
        """A page of a fresh context, or another window `beside` one.

        `cookies` are set for `origin`; `allow`: parts of expected messages.
        """
        if beside is not None:
            return self._watch(beside.context.new_page(), allow)
        opened = self._browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            **context,
        )
        opened.set_default_timeout(PATIENCE_MS)
        self._contexts.append(opened)
        if cookies:
            opened.add_cookies([{"name": n, "value": v, "url": origin} for n, v in cookies.items()])
        return self._watch(opened.new_page(), allow)

    def _watch(self, page: Page, allow: tuple[str, ...]) -> Page:
        def logged(message: ConsoleMessage) -> None:
            if message.type == "error" and not any(part in message.text for part in allow):
                self.problems.append(f"console: {message.text} ({message.location.get('url', '')})")

        def asked(request: Request) -> None:
            host = urlsplit(request.url).hostname
            if host not in ("127.0.0.1", None) and not any(part in request.url for part in allow):
                self.problems.append(f"asked another machine: {request.url[:200]}")

        def threw(error: Exception) -> None:
            if not any(part in str(error) for part in allow):
                self.problems.append(f"threw: {error}")

        page.on("console", logged)
        page.on("request", asked)
        page.on("pageerror", threw)
        return page

    def close(self) -> None:
        """Close every page."""
        for context in self._contexts:
            context.close()
