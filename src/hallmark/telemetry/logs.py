"""JSON lines on stderr. A field that is not on the allow list, or whose value is not an identifier or a
number, never gets out: it is dropped and counted in `dropped`.

The event itself must be a code in snake_case, so that nobody can interpolate text into it. Exceptions are
logged as class name, reason code and the places in the code, with those of their causes, without any message.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TextIO, cast

import msgspec
import structlog

from hallmark.core.errors import HallmarkError, class_of, places_of

CODE: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}")
# Hex, base32/base64url names, host:port, dotted names: no white space, so no sentence fits in.
IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.:/@+\[\]-]{0,160}")
PLACES: Final = re.compile(r"[A-Za-z0-9_.:/+<>-]{0,1000}")

CODES: Final = frozenset(
    """
    event level service reason state kind outcome error stage question policy signal mode command
    """.split()  # noqa: SIM905 - a word list reads better
)
IDS: Final = frozenset(
    """
    receipt node bundle entry_id leaf root origin network checkpoint measurement manifest artifact
    key author culprit digest address transaction contract witness peer host version logger where id
    member image
    """.split()  # noqa: SIM905 - a word list reads better
)
NUMBERS: Final = frozenset(
    """
    at index size since until position sequence count bytes ms us seconds port pid attempt attempts
    status epoch block confirmations queue inflight capacity tokens_in tokens_out rc admitted
    cosigned_size free limit first second pending written chunks height gas threads fd slot
    """.split()  # noqa: SIM905 - a word list reads better
)
ALLOWED: Final = CODES | IDS | NUMBERS

SERVER: Final = "uvicorn.error"

Event = MutableMapping[str, Any]


def only_allowed(_logger: object, _method: str, event: Event) -> Event:
    """The structlog processor that keeps allowed fields with harmless values and drops the rest."""
    kept: Event = {}
    dropped = 0
    for name, value in event.items():
        shown = _shown(name, value)
        if shown is None:
            dropped += 1
        else:
            kept[name] = shown
    if "event" not in kept:
        kept["event"] = "unnamed"
    if dropped:
        kept["dropped"] = dropped
    return kept


def _shown(name: str, value: object) -> str | int | float | None:
    if isinstance(value, bool | int | float):
        return value if name in ALLOWED else None
    if isinstance(value, bytes) and name in IDS and len(value) <= 64:
        return "0x" + value.hex()
    if not isinstance(value, str) or name not in ALLOWED:
        return None
    if name in CODES:
        return str(value) if CODE.fullmatch(value) else None
    pattern = PLACES if name == "where" else IDENTIFIER
    return str(value) if name in IDS and pattern.fullmatch(value) else None


def _exception(_logger: object, _method: str, event: Event) -> Event:
    """Replace `exc_info` by class, reason code and places: messages may quote content."""
    info = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else info if isinstance(info, BaseException) else None
    if info is True:
        error = sys.exc_info()[1]
    if error is not None:
        event["error"] = class_of(error)
        event["where"] = places_of(error)[:1000]
        if isinstance(error, HallmarkError):
            event["reason"] = error.reason
    return event


def _stamp(service: str) -> Callable[[object, str, Event], Event]:
    def stamp(_logger: object, method: str, event: Event) -> Event:
        event["level"] = "error" if method == "exception" else method
        event["service"] = service
        event["at"] = time.time_ns() // 1_000_000
        return event

    return stamp


def _render(_logger: object, _method: str, event: Event) -> str:
    return msgspec.json.encode(event).decode()


class _Foreign(logging.Handler):
    """Takes what libraries log, without their message: logger name, level, the exception's class and places.

    What a server says of an exception that came out of our application, and is none of ours, is a bug:
    `internal_error`.
    """

    def emit(self, record: logging.LogRecord) -> None:
        method = "error" if record.levelno >= logging.ERROR else "warning"
        log, info = structlog.get_logger(), record.exc_info or None
        bug = info is not None and record.name == SERVER and not isinstance(info[1], HallmarkError)
        name = "internal_error" if bug else "library"
        getattr(log, method)(name, logger=record.name, exc_info=info)


class _Lenient:
    """A stream that drops what it cannot write: a full disk under the log lines ends no service."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure(service: str, *, stream: TextIO | None = None) -> None:
    """Set up logging for this process. `service` is a code, e.g. "gateway"; default stream stderr."""
    structlog.configure(
        processors=[_stamp(service), _exception, only_allowed, _render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Lenient(stream or sys.stderr))),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Foreign(level=logging.WARNING)]
    root.setLevel(logging.WARNING)


def get_logger() -> structlog.typing.FilteringBoundLogger:
    """The process's logger: `log.info("code_of_event", receipt=digest, ms=3)`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger
