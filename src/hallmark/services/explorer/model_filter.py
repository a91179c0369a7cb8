"""What `/models` is asked for, read strictly."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from hallmark.core.amounts import parse_amount
from hallmark.core.errors import HallmarkError, InvalidInput
from hallmark.core.modes import NAMES as MODES
from hallmark.discovery.catalogue import Wanted
from hallmark.services.explorer.shared_views import Shown

ANY: Final = "any"
NAMES: Final = ("q", "task", "modality", "licence", "max_size", "max_price", "mode")
LONGEST: Final = 100


class Filter(Shown, frozen=True):
    """What `/models` is asked for. `mode` is a proof mode that has to be available now, or `any`; `max_price`
    ("" for any) what nothing that is counted may cost more than, as people write it.
    """

    q: str = ""
    task: str = ""
    modality: str = ""
    licence: str = ""
    max_size: int = 0
    max_price: str = ""
    mode: str = ""

    @property
    def wanted(self) -> Wanted:
        """What the catalogue is asked."""
        return Wanted(self.q, self.task, self.modality, self.licence, self.max_size)


def filter_of(query: str) -> Filter:
    """A filter in URL form, each name once at most. Raises InvalidInput `bad_filter`."""
    values: dict[str, str] = {}
    try:
        for name, value in parse_qsl(query, max_num_fields=16):
            if name not in NAMES or name in values or len(value) > LONGEST:
                raise _bad()
            values[name] = value.strip()
    except ValueError as error:
        raise _bad() from error
    size, price, mode = values.pop("max_size", ""), values.get("max_price", ""), values.get("mode", "")
    if size and not (size.isascii() and size.isdigit() and len(size) <= 15):
        raise InvalidInput("bad_filter", "max_size is a number of bytes.", "Such as max_size=1000000.")
    if mode not in ("", ANY, *MODES.values()):
        modes = ", ".join(MODES.values())
        raise InvalidInput("bad_filter", f"mode is one of any, {modes}.", "Leave it out for every model.")
    if price:
        units(price, 18)
    return Filter(max_size=int(size or 0), **values)


def units(most: str, decimals: int) -> int:
    """A price as people write it, in atomic units. Raises InvalidInput `bad_filter`."""
    try:
        return parse_amount(most, decimals)
    except HallmarkError as error:
        raise InvalidInput(
            "bad_filter", "max_price is no amount.", "Such as max_price=0.05, with a point."
        ) from error


def _bad() -> InvalidInput:
    names = ", ".join(NAMES)
    return InvalidInput("bad_filter", "A filter is unknown, too long or there twice.", f"There are {names}.")
