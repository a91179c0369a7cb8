"""Errors of the OpenAI-compatible API: the one tree, with the parameter named and HTTP's own statuses."""

from __future__ import annotations

from hallmark.core.errors import InvalidInput


class BadParameter(InvalidInput):
    """A parameter cannot be used; `param` names it as OpenAI clients expect."""

    def __init__(self, reason: str, message: str, param: str, hint: str = "") -> None:
        super().__init__(reason, message, hint)
        self.param = param


def unsupported_parameter(param: str, hint: str = "") -> BadParameter:
    """The error for a parameter that this model cannot honour: saying so beats ignoring it."""
    return BadParameter(
        "unsupported_parameter",
        f"This model cannot honour '{param}'.",
        param,
        hint or f"Leave '{param}' out.",
    )


def invalid_value(param: str, rule: str) -> BadParameter:
    """The error for a value outside what `rule` says."""
    return BadParameter("invalid_value", f"'{param}' must be {rule}.", param)
