"""The embedded image generator: a small network reads the prompt, whole numbers draw what it read.

It is a demonstrator: it draws scenes of flat shapes (`scene.py`) and nothing else. Its network was trained by
us from nothing. Prompt, seed and side give the same pixels on any processor, because no step has a float.
"""

from __future__ import annotations

from typing import Final

from hallmark.core.errors import InvalidInput
from hallmark.engines.artifact import Artifact
from hallmark.engines.png import COMPRESSION, write_png
from hallmark.engines.prompt_net import PromptNet
from hallmark.engines.protocol import Description, Drawn, Task, Unoffered
from hallmark.engines.rasteriser import draw
from hallmark.engines.scene import scene_of
from hallmark.engines.stepper import Stepper

WEIGHTS: Final = "net.safetensors"
SIDES: Final = (256, 512, 1024)


def describe() -> Description:
    """What the bytes of an image depend on; its pixels on name and version alone."""
    return Description("shapes", "1", ("integers", COMPRESSION))


class ShapesEngine(Unoffered):
    """Draws scenes. Raises InvalidInput `bad_artifact` for weights that are not of this engine."""

    tasks = frozenset({Task.IMAGE})
    sides = SIDES

    def __init__(self, artifact: Artifact, stepper: Stepper) -> None:
        name = artifact.model.file or WEIGHTS
        if name not in artifact.files:
            raise InvalidInput("bad_artifact", "The artifact has no weights.")
        self._net = PromptNet(artifact.files[name])
        self._stepper = stepper

    def describe(self) -> Description:
        """See `Engine.describe`."""
        return describe()

    async def draw(self, prompt: str, side: int, seed: int) -> Drawn:
        """See `Engine.draw`."""
        return await self._stepper.call(lambda: self.drawn(prompt, side, seed))

    def drawn(self, prompt: str, side: int, seed: int) -> Drawn:
        """The same, here and now."""
        scene = scene_of(self._net.read(prompt), seed)
        return Drawn(write_png(*draw(scene, side)), scene.words())

    def close(self) -> None:
        """Nothing to stop: the threads belong to whoever made the stepper."""
