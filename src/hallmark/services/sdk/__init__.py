"""The Python SDK: ask, stream, infer, pay, and marks that this program derives itself."""

from hallmark.core.model_names import PinNotMet
from hallmark.payments.accounts import PaymentRequired
from hallmark.services.sdk.answers import AnswerHeld, Cleared, Draft
from hallmark.services.sdk.client import AsyncClient
from hallmark.services.sdk.network import Chain
from hallmark.services.sdk.seen_models import ModelMoved
from hallmark.services.sdk.spending_store import SpendingRefused
from hallmark.services.sdk.sync_client import Client
from hallmark.services.sdk.verifying import Verifier
from hallmark.services.sdk.wallet import Wallet

__all__ = [
    "AnswerHeld",
    "AsyncClient",
    "Chain",
    "Cleared",
    "Client",
    "Draft",
    "ModelMoved",
    "PaymentRequired",
    "PinNotMet",
    "SpendingRefused",
    "Verifier",
    "Wallet",
]
