"""The circuits of the models that ship: their input domain and how finely each is rounded.

`digits`: pixels are whole numbers from 0 to 16, as model.json says. `breast-cancer`: sixteen of the graph's
own standard deviations on each side of its mean, both from the training rows. No held-out row takes part in
either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from hallmark.core.errors import InvalidInput
from hallmark.zkml.graph import Graph, read
from hallmark.zkml.integers import Column, IntegerModel
from hallmark.zkml.quantising import Recipe, columns_between, standardised_range, to_integers

DEVIATIONS: Final = 16.0


def _pixels(_: Graph) -> tuple[Column, ...]:
    return columns_between(np.zeros(64), np.full(64, 16.0), 5)


def _standardised(graph: Graph) -> tuple[Column, ...]:
    lows, highs = standardised_range(graph, DEVIATIONS)
    return columns_between(lows, highs, 16)


RECIPES: Final[dict[str, tuple[Callable[[Graph], tuple[Column, ...]], Recipe]]] = {
    "digits": (_pixels, Recipe(weight_bits=(7, 6, 12), activation_bits=5)),
    "breast-cancer": (_standardised, Recipe(weight_bits=(14,))),
}


def integer_model(label: str, onnx: bytes) -> IntegerModel:
    """The integer model of a model that ships.

    Raises InvalidInput `zk_no_circuit`, and what reading and rounding raise.
    """
    if label not in RECIPES:
        raise InvalidInput("zk_no_circuit", "No circuit is published for this model.")
    columns, recipe = RECIPES[label]
    try:
        graph = read(onnx)
        with np.errstate(all="raise", under="ignore"):
            return to_integers(graph, columns(graph), recipe)
    except (LookupError, ValueError, TypeError, ArithmeticError, StopIteration) as error:
        raise InvalidInput("bad_onnx", "The graph's constants do not fit its operators.") from error
