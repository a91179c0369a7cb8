"""A property that is computed when it is first asked for, and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

OwnerT = TypeVar("OwnerT")
ValueT = TypeVar("ValueT")


class lazy(Generic[OwnerT, ValueT]):
    """As `functools.cached_property`, which takes a lock for each of them before Python 3.12: half the time.
    Computing it must not mind being done twice, should two threads ask at once.
    """

    def __init__(self, compute: Callable[[OwnerT], ValueT]) -> None:
        self._compute = compute
        self._name = ""
        self.__doc__ = compute.__doc__

    def __set_name__(self, _owner: type[Any], name: str) -> None:
        self._name = name

    def __get__(self, instance: OwnerT, _owner: type[Any] | None = None) -> ValueT:
        """Compute it; from then on the instance's own attribute stands before this one."""
        found = instance.__dict__[self._name] = self._compute(instance)
        return found
