"""The stepper: fair turns, errors delivered, consumers that leave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from hallmark.engines.processor import class_of
from hallmark.engines.stepper import Stepper


@pytest.fixture
def one() -> Iterator[Stepper]:
    """A stepper with a single thread."""
    stepper = Stepper(1)
    yield stepper
    stepper.close()


async def test_streams_take_turns(one: Stepper) -> None:
    """Of two long jobs on one thread neither waits for the other to end."""
    order: list[str] = []

    def steps(name: str) -> Iterator[int]:
        for n in range(50):
            order.append(name)
            yield n

    async def consume(name: str) -> list[int]:
        return [n async for n in one.stream(steps(name))]  # type: ignore[arg-type]

    gate = threading.Event()
    blocker = asyncio.ensure_future(one.call(gate.wait))
    both = asyncio.gather(consume("a"), consume("b"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    assert await both == [list(range(50)), list(range(50))]
    await blocker
    assert order == ["a", "b"] * 50


async def test_errors_are_raised_to_the_consumer(one: Stepper) -> None:
    """What a step raises, the consumer gets, after the items before it; the thread lives on."""

    def steps() -> Iterator[int]:
        yield 1
        raise ValueError("boom")

    items = one.stream(steps())  # type: ignore[arg-type]
    assert await anext(items) == 1
    with pytest.raises(ValueError, match="boom"):
        await anext(items)
    assert await one.call(lambda: 7) == 7


async def test_leaving_closes_the_generator(one: Stepper) -> None:
    """A consumer that stops reading ends an endless job at its next turn."""
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    async with aclosing(one.stream(endless())) as items:  # type: ignore[arg-type]
        assert await anext(items) == 1
    # The thread takes jobs in order, so this answer comes after the closing turn of the other.
    assert await one.call(lambda: 1) == 1
    assert await one.call(closed.is_set)


def test_a_closed_loop_ends_its_jobs(one: Stepper) -> None:
    """A job whose event loop is gone does not run for ever."""
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    async def start() -> None:
        stream = one.stream(endless())  # type: ignore[arg-type]
        await anext(stream)
        keep.append(stream)

    keep: list[object] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(start())
    loop.close()
    assert closed.wait(10)


def test_processor_classes_are_the_widest_that_hold() -> None:
    """The class of a processor is the widest whose every feature is there."""
    assert class_of({"AVX512F": True, "AVX512BW": True, "AVX512VNNI": True}) == "avx512-vnni"
    assert class_of({"AVX512F": True, "AVX512BW": False, "AVX2": True, "FMA3": True}) == "avx2"
    assert class_of({"ASIMD": True}) == "asimd"
    assert class_of({}) == "baseline"
