"""The Python SDK: ask, stream, infer, and marks that this program derives itself."""

from hallmark.services.sdk.answers import AnswerHeld, Cleared, Draft
from hallmark.services.sdk.client import AsyncClient
from hallmark.services.sdk.sync_client import Client
from hallmark.services.sdk.verifying import Verifier

__all__ = ["AnswerHeld", "AsyncClient", "Cleared", "Client", "Draft", "Verifier"]
