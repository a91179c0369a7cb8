"""The chat on the sealed path: what it says, who gets which bytes, and what comes of it if one misbehaves."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from browsing.chatting import ANSWER, ask, enter, receipt_of
from browsing.extract import Plan, observe
from browsing.gateway import Given
from browsing.sealing import SealedStage
from browsing.serving import served
from browsing.stage import Stage
from playwright.sync_api import Page, expect
from test_axe import AXE, CHOSEN, violations

from hallmark.apps.web import claims
from hallmark.testing.relays import Mischief

pytestmark = pytest.mark.integration
Open = Any
WORDS = "Canary-Zebra-Marmalade"
PLAIN, SEALED = "plain", "sealed"


@pytest.fixture
def stage() -> SealedStage:
    """A network with a relay."""
    return SealedStage()


@pytest.fixture
def origin(stage: SealedStage) -> Iterator[str]:
    """The pages' address."""
    with stage.running() as address:
        yield address


def on_path(page: Page, path: str) -> None:
    """Choose a path for the next question."""
    page.locator("#c-path option[value=sealed]:not([disabled])").wait_for(state="attached")
    page.locator("#c-path").select_option(path)
    page.locator(f'.c-path[data-path="{path}"]').wait_for()


def write(page: Page, text: str) -> None:
    """Write a question and send it, whatever comes of it."""
    page.locator("textarea.c-area").fill(text)
    page.keyboard.press("Enter")


def overstated(stage: SealedStage, page: Page) -> str:
    """What the page says too much about any of its answers, one line each."""
    ids = [receipt_of(answer) for answer in page.locator(ANSWER).all()]
    facts = {receipt: stage.gateway.facts(receipt) for receipt in ids if receipt}
    return "\n".join(str(one) for one in claims.violations(facts, observe(page, "/chat", Plan(list(facts)))))


def nobody_else_saw(stage: SealedStage, *words: str) -> None:
    """Neither relay nor gateway, sealed or not, got any of these words."""
    for heard in (stage.relayed, stage.passed, stage.opened):
        for word in words:
            for form in (word.encode(), base64.b64encode(word.encode())[:-4], word.encode().hex().encode()):
                assert form not in heard.all, (word, form)


def test_a_sealed_question_goes_its_whole_way(stage: SealedStage, origin: str, opened: Open) -> None:
    """It is answered, proved, and says so; relay and gateway get no word of it; its proofs go sealed too."""
    page = opened()
    enter(page, origin)
    expect(page.locator(".c-path")).to_contain_text("Plain path: the gateway reads")
    on_path(page, SEALED)
    expect(page.locator(".c-path")).to_contain_text("simulated")
    stage.gateway.given = Given(text="The marmalade is striped.", pieces=4)
    answer = ask(page, WORDS)
    expect(answer.locator(".c-said")).to_have_text("The marmalade is striped.")
    receipt = receipt_of(answer)
    assert stage.gateway.facts(receipt).path == "sealed"
    assert stage.gateway.asked[-1]["messages"][-1]["content"] == WORDS
    nobody_else_saw(stage, WORDS, "striped")
    assert receipt.encode() not in stage.passed.all, "its proof was asked for plainly"
    assert receipt.encode() in stage.opened.all
    assert stage.handed_in == [receipt]
    answer.get_by_role("button", name="Details").click()
    answer.get_by_text("as this page told the enclave").wait_for()
    assert overstated(stage, page) == ""
    page.reload()
    page.locator(f'{ANSWER} .c-proof [data-question="proved"][data-state="witnessed"]').wait_for()
    expect(page.locator("#c-path")).to_have_value(SEALED)
    assert receipt.encode() not in stage.passed.all
    assert overstated(stage, page) == ""


def test_a_change_of_path_draws_a_line_and_tells_the_plain_one_nothing(
    stage: SealedStage, origin: str, opened: Open
) -> None:
    """Plain, sealed, plain: two heavy lines; the last request holds nothing of what was asked sealed."""
    page = opened()
    enter(page, origin)
    ask(page, "The first one.")
    on_path(page, SEALED)
    stage.gateway.given = Given(text="Striped.")
    ask(page, WORDS)
    assert [one["content"] for one in stage.gateway.asked[-1]["messages"]] == [
        "The first one.",
        "Seven.",
        WORDS,
    ]
    on_path(page, PLAIN)
    page.get_by_text("left out of what is sent now").wait_for()
    stage.gateway.given = Given()
    ask(page, "The third one.")
    said = [one["content"] for one in stage.gateway.asked[-1]["messages"]]
    assert said == ["The first one.", "Seven.", "The third one."]
    lines = page.locator(".c-break-heavy").all_inner_texts()
    assert ["path sealed instead of plain" in lines[0], "path plain instead of sealed" in lines[1]] == [
        True
    ] * 2
    # Asked again or edited, a sealed question goes sealed, whatever the switch says.
    sealed = page.locator(".c-question").nth(1)
    page.locator(ANSWER).nth(1).get_by_role("button", name="Regenerate").click()
    page.locator(ANSWER).nth(1).get_by_text("2 of 2").wait_for()
    page.locator(ANSWER).nth(1).locator('[data-question="proved"][data-state="witnessed"]').wait_for()
    sealed.get_by_role("button", name="Edit").click()
    sealed.locator("textarea").fill(f"{WORDS}, edited")
    page.keyboard.press("Enter")
    page.locator(".c-question", has_text="edited").get_by_text("2 of 2").wait_for()
    page.locator(ANSWER).nth(1).locator('[data-question="proved"][data-state="witnessed"]').wait_for()
    assert stage.gateway.facts(receipt_of(page.locator(ANSWER).nth(1))).path == "sealed"
    nobody_else_saw(stage, WORDS)
    assert overstated(stage, page) == ""


BROKEN = {
    Mischief.TRUNCATE: "sealed_truncated",
    Mischief.TAMPER_ANSWER: "sealed_tampered",
    Mischief.DUPLICATE: "sealed_tampered",
    Mischief.CUT: "sealed_truncated",
    Mischief.PLAIN_ANSWER: "sealed_in_clear",
    Mischief.TAMPER_REQUEST: "sealed_unreadable",
    Mischief.REPLAY: "sealed_unreadable",
    Mischief.SAY_STALE: "key_configuration_stale",
}


@pytest.mark.parametrize("mischief", BROKEN)
def test_a_relay_that_misbehaves_is_an_error_and_nothing_goes_plain(
    stage: SealedStage, origin: str, opened: Open, mischief: Mischief
) -> None:
    """What it does to the question's answer stands under the question; asked again, it is sealed anew."""
    page = opened(allow=("400", "ERR_"))
    enter(page, origin)
    on_path(page, SEALED)
    stage.relay.only, stage.relay.mischief = stage.alone(), mischief
    write(page, WORDS)
    answer = page.locator(ANSWER).first
    answer.locator(".c-trouble code", has_text=BROKEN[mischief]).wait_for()
    assert page.locator(".c-question", has_text=WORDS).count() == 1
    nobody_else_saw(stage, WORDS)
    stage.relay.mischief = Mischief.NONE
    answer.get_by_role("button", name="Regenerate").click()
    page.locator(f'{ANSWER} [data-question="proved"][data-state="witnessed"]').wait_for()
    nobody_else_saw(stage, WORDS)


def foreign(record: dict[str, Any]) -> dict[str, Any]:
    """Keys that the bundle does not name."""
    blob = bytearray(base64.b64decode(record["sealing"]["configurations"]))
    blob[10] ^= 1
    return {**record, "sealing": {**record["sealing"], "configurations": base64.b64encode(blob).decode()}}


SPOILED = {
    "key_configuration_unproven": foreign,
    "bundle_mismatch": lambda record: {**record, "bundle": record["bundle"].replace("onnx 1", "onnx 2")},
    "registration_proof": lambda record: {
        **record,
        "registration": {**record["registration"], "proof": record["registration"]["proof"][:-90]},
    },
    "registration_mismatch": lambda record: {**record, "evidence": None},
    "objections_not_shown": lambda record: {
        **record,
        "registration": {**record["registration"], "after": [record["registration"]["leaf"]] * 9},
    },
    "configuration_mismatch": lambda record: {
        **record,
        "configuration": record["configuration"].replace('"limits":{}', '"limits":{"a":1}'),
    },
    "key_configuration_missing": lambda record: {**record, "sealing": None},
}


@pytest.mark.parametrize("reason", SPOILED)
def test_a_node_that_does_not_hold_gets_nothing(
    stage: SealedStage, origin: str, opened: Open, reason: str
) -> None:
    """The question stays where it was written, the page says why, and nobody was asked anything."""
    page = opened()
    enter(page, origin)
    on_path(page, SEALED)
    stage.change = SPOILED[reason]
    write(page, WORDS)
    page.locator(".c-notice", has_text=f"Not sent ({reason})").wait_for()
    expect(page.locator("textarea.c-area")).to_have_value(WORDS)
    assert page.locator(".c-question").count() == 0
    assert stage.gateway.asked == []
    nobody_else_saw(stage, WORDS)


def test_a_node_that_full_nodes_object_to_gets_nothing(stage: SealedStage, origin: str, opened: Open) -> None:
    """Their objections stand in the log behind its registration, and the page says the reason."""
    net = stage.gateway.net
    for author in net.full_nodes[:2]:
        net.add(net.verdict(author, net.nodes[0].registered, "epoch_taken"))
    page = opened()
    enter(page, origin)
    on_path(page, SEALED)
    write(page, WORDS)
    notice = page.locator(".c-notice", has_text="Not sent (registration_objected)")
    notice.wait_for()
    assert "epoch_taken" in notice.inner_text()
    assert stage.gateway.asked == []
    nobody_else_saw(stage, WORDS)


def test_a_relay_with_other_keys_for_the_gateway_is_found_out(
    stage: SealedStage, origin: str, opened: Open
) -> None:
    """The page compares them with the gateway's own word."""
    stage.relay.mischief, stage.relay.other_keys = Mischief.OTHER_KEYS, type(stage.keys)().blob
    page = opened()
    enter(page, origin)
    on_path(page, SEALED)
    write(page, WORDS)
    page.locator(".c-notice", has_text="relay_other_keys").wait_for()
    expect(page.locator("textarea.c-area")).to_have_value(WORDS)
    nobody_else_saw(stage, WORDS)


def test_a_sealed_answer_is_stopped_sealed(stage: SealedStage, origin: str, opened: Open) -> None:
    """Esc stops the node through the relay; the receipt over what came arrives."""
    page = opened()
    enter(page, origin)
    on_path(page, SEALED)
    stage.gateway.given = Given(text="Seven, and", endless=True)
    write(page, WORDS)
    answer = page.locator(ANSWER).first
    answer.get_by_text("Seven, and").wait_for()
    page.keyboard.press("Escape")
    answer.locator('.c-proof [data-question="proved"][data-state="witnessed"]').wait_for()
    answer.get_by_text("Stopped here, as you asked.").wait_for()
    assert "/v1/hallmark/stop" not in stage.passed.paths
    assert not {path for path in stage.passed.paths if "receipts" in path or "completions" in path}
    nobody_else_saw(stage, WORDS)


def test_without_a_relay_the_switch_cannot_be_turned_on(opened: Open) -> None:
    """It says why, and the page shows the plain path as plainly as ever."""
    with served(Stage().app()) as origin:
        page = opened()
        enter(page, origin)
        page.get_by_text("Through a relay is not possible here: This server names no relay.").wait_for()
        assert page.locator("#c-path option[value=sealed]").is_disabled()
        ask(page, "Which digit?")


def test_a_sealed_conversation_whose_relay_is_gone_sends_nothing(
    stage: SealedStage, origin: str, opened: Open
) -> None:
    """Opened again without the relay it stays sealed, says so, and its button is off."""
    page = opened(allow=("ERR_", "400", "503", "500"))
    enter(page, origin)
    on_path(page, SEALED)
    ask(page, WORDS)
    page.route(f"{stage.surfaces.relay}/**", lambda route: route.abort())
    page.reload()
    page.get_by_text("Nothing can be sent on this path now, and nothing is sent on another.").wait_for()
    expect(page.locator("#c-path")).to_have_value(SEALED)
    before = len(stage.gateway.asked)
    write(page, "And another.")
    expect(page.locator("textarea.c-area")).to_have_value("And another.")
    assert page.get_by_role("button", name="Send").is_disabled()
    assert len(stage.gateway.asked) == before
    nobody_else_saw(stage, WORDS, "And another.")


@pytest.mark.parametrize("width", [1280, 390, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_both_paths_can_be_read_by_everybody(
    stage: SealedStage, origin: str, opened: Open, output: Any, dark: bool, width: int
) -> None:
    """No rule of accessibility is broken, nothing is wider than the screen or cut, the keyboard is enough."""
    page = opened(dark=dark, width=width)
    page.add_init_script(AXE.read_text())
    enter(page, origin)
    page.locator("#c-path option[value=sealed]:not([disabled])").wait_for(state="attached")
    for path in (PLAIN, SEALED):
        page.locator("#c-path").focus()
        page.keyboard.press("ArrowDown" if path == SEALED else "ArrowUp")
        page.locator(f'.c-path[data-path="{path}"]').wait_for()
        ask(page, f"Which digit, {path}?")
        if page.locator(".c-settings details").first.get_attribute("open") is None:
            page.get_by_text("Who sees what on this path").click()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert page.evaluate(CHOSEN) == []
        assert "\n".join(violations(page)) == ""
        assert overstated(stage, page) == ""
        page.evaluate("scrollTo(0, 0)")
        name = f"chat-{path}-{'dark' if dark else 'light'}-{width}.png"
        page.screenshot(path=output / "screenshots" / name)
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.screenshot(path=output / "screenshots" / name.replace(".png", "-end.png"))
