"""Hallmark: AI inference in measured enclaves that answers at once, proves afterwards, one mark per fact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hallmark.services.sdk import AnswerHeld as Held
    from hallmark.services.sdk import (
        AsyncClient,
        Chain,
        Cleared,
        Client,
        Draft,
        ModelMoved,
        PaymentRequired,
        PinNotMet,
        SpendingRefused,
        Wallet,
    )

__version__ = "0.1.0"
__all__ = [
    "AsyncClient",
    "Chain",
    "Cleared",
    "Client",
    "Draft",
    "Held",
    "ModelMoved",
    "PaymentRequired",
    "PinNotMet",
    "SpendingRefused",
    "Wallet",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """The SDK's names, imported when they are first used: services and the enclave never load it."""
    if name not in __all__:
        raise AttributeError(name)
    from hallmark.services import sdk

    return getattr(sdk, "AnswerHeld" if name == "Held" else name)
