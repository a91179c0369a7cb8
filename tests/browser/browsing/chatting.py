"""A person at the chat."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

ANSWER = "article.c-answer"


def enter(page: Page, origin: str) -> None:
    """Open the chat and wait until it takes a question."""
    page.goto(f"{origin}/chat")
    page.wait_for_selector("#chat[data-ready]")


def ask(page: Page, text: str, *, proved: str = "witnessed") -> Locator:
    """Ask by keyboard, wait for the answer and for its mark `proved` to reach a state; the answer."""
    before = page.locator(ANSWER).count()
    page.locator("textarea.c-area").fill(text)
    page.keyboard.press("Enter")
    answer = page.locator(ANSWER).nth(before)
    answer.get_by_role("button", name="Details").wait_for()
    answer.locator('.c-proof [data-question="route"]:not([data-state="absent"])').wait_for()
    answer.locator(f'.c-proof [data-question="proved"][data-state="{proved}"]').wait_for()
    return answer


def receipt_of(answer: Locator) -> str:
    """The id of an answer's receipt."""
    return answer.get_attribute("data-receipt") or ""
