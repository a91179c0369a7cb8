"""Hallmark: AI inference in measured enclaves that answers at once, proves afterwards, one mark per fact."""

__version__ = "0.1.0"
