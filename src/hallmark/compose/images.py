"""Which enclave image a network needs, by the formats of the models that it serves.

The usual image has the engines that every installation brings. GGUF models need llama.cpp in it, so that what
is measured covers it: an image of its own, with a measurement of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from hallmark.compose.home import Home
from hallmark.compose.models import kept_model
from hallmark.compose.plan import Plan
from hallmark.hub.formats import Format
from hallmark.services.node.image_contents import USUAL
from hallmark.services.node.measure import ImageInfo, build_image


def engines_for(formats: Iterable[str]) -> tuple[str, ...]:
    """The engines in the image of nodes that serve models of these formats.

    Raises Unavailable `engine_not_installed` for GGUF without its extra.
    """
    if Format.GGUF not in formats:
        return USUAL
    from hallmark.engines import llama_library  # it brings numpy, which no other start needs

    if not llama_library.installed():
        raise llama_library.missing()
    return (*USUAL, "gguf")


def image_of(home: Home, plan: Plan) -> ImageInfo:
    """The image of this home's nodes, built where it is not there. Raises as `engines_for`."""
    served = {label for node in plan.nodes for label in node.models} & set(plan.published)
    formats = {kept_model(home, plan.published[label]).manifest.format for label in served}
    return build_image(home.dir("image"), engines_for(formats))
