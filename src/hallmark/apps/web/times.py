"""Times and gaps in words, the same as web/src/marks/gap.ts writes them. Times are unix ms, gaps ms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from markupsafe import Markup, escape

MINUS = "\u2212"
NOW_MS = 1_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_MS = 253_402_300_799_000  # the end of the year 9999, where calendars here end


def span(ms: int) -> str:
    """A length of time: "18 ms", "1.2 s", "3 min", "5 h", "12 days"."""
    size = abs(ms)
    if size < 1000:
        return f"{size} ms"
    if size < 10_000:
        return f"{Decimal(size / 1000).quantize(Decimal('0.1'), ROUND_HALF_UP)} s"
    for limit, unit, word in (
        (120_000, 1000, "s"),
        (7_200_000, 60_000, "min"),
        (172_800_000, 3_600_000, "h"),
    ):
        if size < limit:
            return f"{(2 * size + unit) // (2 * unit)} {word}"
    return f"{(2 * size + 86_400_000) // (2 * 86_400_000)} days"


def gap(ms: int) -> str:
    """A gap from the answer's last byte: "+18 ms", "−3 min" when it came before."""
    return (MINUS if ms < 0 else "+") + span(ms)


def gap_of(at: int, answer_at: int) -> tuple[str, str]:
    """What stands under a mark, and its full form: the gap, or "< 1 s" for a cosignature's whole second that
    began before the answer's last byte.
    """
    ms = at - answer_at
    known = moment(at)
    if ms >= 0 or ms <= -1000 or at % 1000 or known is None:
        return gap(ms), full_gap(at, ms)
    return "< 1 s", f"in the second of {known:%Y-%m-%d %H:%M:%S} UTC, within which the last byte came"


def moment(at: int) -> datetime | None:
    """The time as a calendar knows it, or None when no calendar does."""
    return EPOCH + timedelta(milliseconds=at) if 0 <= at <= LONGEST_MS else None


def full(at: int) -> str:
    """The full time: "2025-11-20 16:30:12.123 UTC"."""
    known = moment(at)
    return f"{known.replace(tzinfo=None).isoformat(' ', 'milliseconds')} UTC" if known else str(at)


def full_gap(at: int, gap_ms: int) -> str:
    """The full time behind a gap: "2025-11-20 16:30:12.123 UTC, 18 ms after the last byte"."""
    side = "before" if gap_ms < 0 else "after"
    return f"{full(at)}, {abs(gap_ms)} ms {side} the last byte"


def when(at: int, answer_at: int = 0, *, none: str = "not yet") -> Markup:
    """A `<time>`: the gap from `answer_at` when that is known, else date and time; in full on hover."""
    if at <= 0:
        return Markup('<span class="quiet">{}</span>').format(none)
    if answer_at > 0:
        text, title = gap_of(at, answer_at)
    else:
        text, title = full(at)[:16] + " UTC", full(at)
    return _time(at, text, title)


def ago(at: int, now: int) -> Markup:
    """A `<time>` that says how long before (or after) `now` it is: "3 min ago", "in 5 h"; within a second,
    which is as fine as two looks at a clock are, "just now".
    """
    if at <= 0:
        return Markup('<span class="quiet">not yet</span>')
    text = f"{span(now - at)} ago" if at <= now else f"in {span(at - now)}"
    if abs(now - at) < NOW_MS:
        text = "just now"
    return _time(at, text, full(at))


def lasting(at: int, now: int) -> Markup:
    """A `<time>` that says how long what began at `at` lasts: "60 s"."""
    return _time(at, span(max(now - at, 0)), f"since {full(at)}")


def _time(at: int, text: str, title: str) -> Markup:
    known = moment(at)
    machine = f"{known.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z" if known else ""
    # A page has hundreds of these, and `Markup.format` takes four times as long.
    written = f'<time datetime="{machine}" title="{escape(title)}">{escape(text)}</time>'
    return Markup(written)  # noqa: S704 -- digits, and two escaped texts
