"""The embedded image generator: what it draws, to the bit, and what it refuses."""

from __future__ import annotations

import hashlib
import io

import msgspec
import numpy as np
import pytest
from PIL import Image

from hallmark.core.errors import InvalidInput
from hallmark.core.safetensors import read_tensors, write_tensors
from hallmark.engines import load
from hallmark.engines.prompt_net import MOST_WORDS
from hallmark.engines.protocol import Engine, Task
from hallmark.engines.rasteriser import draw
from hallmark.engines.request_errors import BadParameter
from hallmark.engines.scene import COLOURS, PLACES, POSITIONS, SHAPES, SIZES, Scene
from hallmark.engines.shapes import SIDES
from hallmark.testing.model_scripts import MODELS, model_script
from hallmark.testing.tiny_models import pack

FILES = {path.name: path.read_bytes() for path in (MODELS / "shapes" / "artifact").iterdir()}
PIXELS = "f92e1417b331d15cba9b30fe9e7feb00992e3c0a2437079e9fca92d16f46eb1c"
PROMPT = "a small red circle on white"


def loaded(files: dict[str, bytes]) -> Engine:
    """The engine over an artifact of these files."""
    data = pack(files)
    return load(data, hashlib.sha256(data).digest())


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The shipped model."""
    return loaded(FILES)


def rgb(png: bytes) -> np.ndarray:
    """What another decoder sees."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


async def test_a_prompt_becomes_the_image_that_it_asks_for(engine: Engine) -> None:
    """The right colours on the right ground, of the right side, and words for what is to be seen."""
    assert engine.tasks == {Task.IMAGE}
    for side in SIDES:
        drawn = await engine.draw(PROMPT, side, 3)
        pixels = rgb(drawn.image)
        assert pixels.shape == (side, side, 3)
        colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
        commonest = [tuple(colours[at].tolist()) for at in np.argsort(counts)[::-1][:2]]
        assert commonest == [COLOURS["white"], COLOURS["red"]]
        assert drawn.words.startswith("a small red circle ")
        assert drawn.words.endswith(" on white")


async def test_the_seed_chooses_what_is_open_and_nothing_else(engine: Engine) -> None:
    """Equal seeds give equal bytes; others move what the prompt leaves open."""
    drawn = [await engine.draw(PROMPT, 256, seed) for seed in (*range(20), 0)]
    assert drawn[0] == drawn[-1]
    assert len({one.words for one in drawn}) > 4
    assert all(one.words.startswith("a small red circle ") for one in drawn)


def test_the_words_name_all_of_a_scene() -> None:
    """Number, size, colour, shape, place and ground: other words for each other scene."""
    scene = Scene("ring", "blue", "yellow", "small", 2, 3)
    assert scene.words() == "three small blue rings at the top right on yellow"
    for part, others in {
        "shape": SHAPES, "colour": COLOURS, "background": COLOURS, "size": SIZES,
        "position": range(len(POSITIONS)), "count": range(1, 5),
    }.items():  # fmt: skip
        said = {msgspec.structs.replace(scene, **{part: other}).words() for other in others}
        assert len(said) == len(others)


async def test_the_words_are_true_of_the_image_where_the_seed_chose(engine: Engine) -> None:
    """Colour, ground and place that no prompt named are those of the pixels."""
    names = {colour: name for name, colour in COLOURS.items()}
    for seed in range(12):
        drawn = await engine.draw("a small square", 256, seed)
        pixels = rgb(drawn.image)
        colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
        ground, ink = (tuple(colours[at].tolist()) for at in np.argsort(counts)[::-1][:2])
        across = np.argwhere((pixels == np.array(ink)).all(axis=2)).mean(axis=0) * 3 // 256
        place = PLACES[int(across[0]) * 3 + int(across[1])]
        assert drawn.words == f"a small {names[ink]} square {place} on {names[ground]}"


def test_every_scene_is_the_same_to_the_bit() -> None:
    """Levels of every shape, size, place and number, as they were when this was written."""
    state = hashlib.sha256()
    for n, shape in enumerate(SHAPES):
        for count in (1, 2, 3, 4):
            for side in (64, 256):
                scene = Scene(shape, "blue", "yellow", SIZES[(n + count) % 3], (3 * n + count) % 9, count)
                levels, colours = draw(scene, side)
                assert 0 <= levels.min() < levels.max() == len(colours) - 1
                state.update(levels.tobytes())
    assert state.hexdigest() == PIXELS


def test_nothing_leaves_the_canvas() -> None:
    """The border is background, wherever and however large the shapes are."""
    for place in range(len(POSITIONS)):
        for count in (1, 2, 3, 4):
            levels, _ = draw(Scene("square", "red", "white", "large", place, count), 64)
            assert not np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]]).any()


@pytest.mark.parametrize("prompt", ["", "?!", "word " * (MOST_WORDS + 1), "a" * 1001])
async def test_a_prompt_has_words_and_an_end(engine: Engine, prompt: str) -> None:
    """None, and too many."""
    with pytest.raises(BadParameter) as refused:
        await engine.draw(prompt, 256, 0)
    assert refused.value.reason == "invalid_value"


@pytest.mark.parametrize(
    "prompt", ["a photo of a cat", "seven blue circles", "a red circle and a blue square"]
)
async def test_what_it_cannot_draw_is_refused(engine: Engine, prompt: str) -> None:
    """No shape that it knows, too many, several kinds: said, and not drawn as something else."""
    with pytest.raises(BadParameter) as refused:
        await engine.draw(prompt, 256, 0)
    assert (refused.value.reason, refused.value.param) == ("cannot_draw", "prompt")


def test_weights_of_another_form_are_refused() -> None:
    """Missing, cut, of another type or shape."""
    tensors = read_tensors(FILES["net.safetensors"])
    less = write_tensors({name: one for name, one in tensors.items() if name != "first.bias"})
    swapped = write_tensors(tensors | {"table": tensors["heads.weight"]})
    for weights in (b"", FILES["net.safetensors"][:-1], less, swapped):
        with pytest.raises(InvalidInput) as refused:
            loaded(FILES | {"net.safetensors": weights})
        assert refused.value.reason == "bad_artifact"
    with pytest.raises(InvalidInput):
        loaded({"model.json": FILES["model.json"]})


async def test_held_out_prompts_are_drawn_as_asked(engine: Engine) -> None:
    """The judge sees in the pixels what the hand-written prompts ask for, as often as the card says."""
    measure = model_script("measure", "shapes")
    figures = [measure.measure(name, 1) for name in measure.SETS]
    shares = [found["all_right"] / found["images"] for found in figures]
    assert shares[0] > 0.9
    assert shares[1] > 0.65
