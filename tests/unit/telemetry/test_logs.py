"""Logs and metrics never carry content."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from hallmark.core.errors import HallmarkError
from hallmark.telemetry.logs import configure, get_logger, only_allowed
from hallmark.telemetry.metrics import MAX_VALUES, Metrics

CANARY = "the canary sings at dawn"


@pytest.fixture
def stream() -> io.StringIO:
    """A stream that takes what the process logs."""
    text = io.StringIO()
    configure("gateway", stream=text)
    return text


def test_identifiers_and_numbers_get_through(stream: io.StringIO) -> None:
    """A log line keeps its code, its identifiers (bytes as hex) and its numbers."""
    get_logger().info("receipt_logged", receipt=b"\x01\x02", ms=3, reason="none")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["receipt"], line["ms"], line["reason"]) == (
        "receipt_logged",
        "0x0102",
        3,
        "none",
    )
    assert (line["service"], line["level"]) == ("gateway", "info")


def test_a_planted_string_never_appears(stream: io.StringIO) -> None:
    """Content in the event, in any field, in an exception or in a library's message stays out."""
    log = get_logger()
    log.info(CANARY, receipt=CANARY, prompt=CANARY, reason=CANARY, at=CANARY, host=[CANARY], ms={"a": CANARY})
    try:
        raise HallmarkError("some_reason", CANARY, CANARY)
    except HallmarkError:
        log.exception("request_failed")
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("failed on %s", CANARY)
    text = stream.getvalue()
    assert "canary" not in text
    assert "sings" not in text
    first, second, third = (json.loads(line) for line in text.splitlines())
    assert first["dropped"] == 6
    assert (second["reason"], second["error"]) == ("some_reason", "hallmark_error")
    assert (third["event"], third["logger"], third["error"]) == (
        "internal_error",
        "uvicorn.error",
        "value_error",
    )


def _raise(error: Exception, cause: Exception | None = None) -> None:
    raise error from cause


def test_a_bug_is_logged_with_its_places_and_causes(stream: io.StringIO) -> None:
    """Of an exception from a group, with a cause, class and places of each get out; their words do not."""
    try:
        try:
            _raise(OSError(CANARY))
        except OSError as error:
            _raise(ExceptionGroup(CANARY, [RuntimeError(CANARY)]), error)
    except ExceptionGroup:
        get_logger().exception("request_failed")
    try:
        try:
            _raise(KeyError(CANARY))
        except KeyError as error:
            _raise(TimeoutError(CANARY), error)
    except TimeoutError:
        get_logger().exception("request_failed")
    assert "canary" not in stream.getvalue()
    group, chain = (json.loads(line) for line in stream.getvalue().splitlines())
    own = r"test_logs\.py:\d+"
    assert group["error"] == "exception_group"
    assert re.fullmatch(rf"{own}/{own}\+runtime_error", group["where"])
    assert chain["error"] == "timeout_error"
    assert re.fullmatch(rf"{own}/{own}\+key_error/{own}/{own}", chain["where"])


@given(st.dictionaries(st.text(), st.text() | st.binary() | st.none() | st.lists(st.text())))
def test_no_white_space_ever_gets_out(event: dict[str, object]) -> None:
    """Whatever the fields hold, no value with white space, quotes or non-ASCII text remains."""
    for name, value in only_allowed(None, "info", dict(event)).items():
        assert name.isidentifier()
        assert (
            not isinstance(value, str) or value == "" or (value.isascii() and not set(value) & set(' "\n\t'))
        )


def test_labels_come_from_closed_sets() -> None:
    """A label value that is no identifier becomes "other", and their number is bounded."""
    metrics = Metrics()
    counter = metrics.counter("requests", "Requests.", ("outcome",))
    counter.add("answered")
    counter.add(CANARY)
    for i in range(2 * MAX_VALUES):
        counter.add(f"made-up-{i}")
    text = generate_latest(metrics.registry).decode()
    assert 'hallmark_requests_total{outcome="answered"} 1.0' in text
    assert "canary" not in text
    assert text.count("hallmark_requests_total{") <= MAX_VALUES + 1


def test_gauges_and_histograms() -> None:
    """A gauge is read at the scrape; a histogram counts in seconds."""
    metrics = Metrics()
    metrics.gauge("queue", "Queue.", lambda: 7)
    metrics.histogram("wait", "Wait.").observe(0.002)
    text = generate_latest(metrics.registry).decode()
    assert "hallmark_queue 7.0" in text
    assert 'hallmark_wait_bucket{le="0.0025"} 1.0' in text


def test_a_full_disk_under_the_log_ends_nothing() -> None:
    """A line that cannot be written is dropped; the caller never hears of it."""
    with open("/dev/full", "w") as full:
        configure("gateway", stream=full)
        try:
            get_logger().warning("disk_full")
        finally:
            configure("gateway")
            with contextlib.suppress(OSError):
                full.close()
