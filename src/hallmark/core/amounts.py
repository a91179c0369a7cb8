"""Amounts as people write them. Integers from the first parse: nothing here is ever a float."""

from __future__ import annotations

import re
from typing import Final

from hallmark.core.errors import InvalidInput
from hallmark.core.money import MAX_AMOUNT, Asset

DECIMAL: Final = re.compile(r"([0-9]{1,30})(?:\.([0-9]{1,30}))?", re.ASCII)
MAX_DECIMALS: Final = 18


def parse_amount(text: str, decimals: int) -> int:
    """`"1.25"` of an asset with 6 decimals as 1,250,000 atomic units.

    Raises InvalidInput `bad_amount` for anything but decimal digits with at most one point,
    `amount_below_unit` when it has more decimals than the asset (nothing is rounded away, least of all to
    nothing), `amount_too_large` past 2^96 - 1 units.
    """
    match = DECIMAL.fullmatch(text)
    if match is None or not 0 <= decimals <= MAX_DECIMALS:
        raise InvalidInput(
            "bad_amount", "An amount is decimal digits with at most one point.", "For example: 5.00"
        )
    whole, part = match[1], (match[2] or "").rstrip("0")
    if len(part) > decimals:
        raise InvalidInput(
            "amount_below_unit",
            f"This amount has a part below the asset's smallest unit: it has {decimals} decimals.",
            "Give a price for more at once, for example for a million tokens.",
        )
    units = int(whole + part.ljust(decimals, "0"))
    if units > MAX_AMOUNT:
        raise InvalidInput(
            "amount_too_large",
            "This amount is more than an account can hold.",
            "The most is 2^96 - 1 atomic units.",
        )
    return units


def show_amount(units: int, asset: Asset) -> str:
    """Atomic units as people read them: at least two decimals, never rounded, with the symbol."""
    whole, part = divmod(units, 10**asset.decimals)
    digits = str(part).rjust(asset.decimals, "0") if asset.decimals else ""
    kept = digits.rstrip("0").ljust(min(2, asset.decimals), "0")
    return f"{whole:,}{'.' if kept else ''}{kept} {asset.symbol}"
