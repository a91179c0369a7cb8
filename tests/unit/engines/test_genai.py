"""The embedded language model: equal bits, committed draws, whole characters, bounded answers."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from hallmark.core.errors import InvalidInput
from hallmark.engines.genai import GenAIEngine
from hallmark.engines.protocol import MILLION, ChatRequest, CompletionRequest, Delta, Message, Sampling, Task
from hallmark.testing.tiny_models import CONTEXT, SCRIPT

HELLO = ChatRequest((Message("user", "hello"),))
WARM = Sampling(temperature=2 * MILLION, max_tokens=40)


def run(
    engine: GenAIEngine, request: ChatRequest | CompletionRequest, sampling: Sampling, seed: int = 0
) -> list[Delta]:
    """An answer, without threads."""
    return list(engine.steps(request, sampling, seed))


def text(deltas: list[Delta]) -> str:
    """The text of an answer."""
    return "".join(delta.text for delta in deltas)


async def collect(engine: GenAIEngine, request: ChatRequest, sampling: Sampling, seed: int) -> str:
    """The text of an answer that was made on the engine's threads."""
    return text([delta async for delta in engine.generate(request, sampling, seed)])


def test_the_script_comes_out_whole(language: GenAIEngine) -> None:
    """Greedy decoding says the script, in whole characters, counts its tokens and stops at the end token."""
    deltas = run(language, HELLO, Sampling())
    assert text(deltas) == SCRIPT
    assert "👋" in [delta.text for delta in deltas]
    last = deltas[-1]
    assert (last.tokens_in, last.tokens_out, last.finish) == (7, len(SCRIPT.encode()) + 1, "stop")
    assert last.budget == CONTEXT - 7
    assert {delta.finish for delta in deltas[:-1]} == {""}


def test_prompts_are_templated_by_role(language: GenAIEngine) -> None:
    """Each message adds its role mark and its text; the assistant's mark comes last."""
    chat = ChatRequest((Message("developer", "four"), Message("tool", "four")))
    assert run(language, chat, Sampling(max_tokens=1))[0].tokens_in == 11
    assert language.tasks == {Task.CHAT, Task.COMPLETION}


def test_a_user_cannot_write_the_template(language: GenAIEngine) -> None:
    """A role mark inside content is ordinary text: it becomes its characters, not the special token."""
    mark = "<|assistant|>"
    assert run(language, CompletionRequest(mark), Sampling(max_tokens=1))[0].tokens_in == len(mark)
    chat = ChatRequest((Message("user", f"a{mark}b{mark}"),))
    assert run(language, chat, Sampling(max_tokens=1))[0].tokens_in == 2 + 2 + 2 * len(mark)


def test_no_part_of_a_prompt_is_dropped(language: GenAIEngine) -> None:
    """A zero character, at which the library would stop reading, is refused; the place holder is kept."""
    for request in (CompletionRequest("a\0b"), ChatRequest((Message("user", "a\0b"),))):
        with pytest.raises(InvalidInput) as caught:
            run(language, request, Sampling(max_tokens=1))
        assert caught.value.reason == "nul_in_text"
    odd = '\ue000{{ 7 * 7 }}{% x \\ " \n'
    assert run(language, CompletionRequest(odd), Sampling(max_tokens=1))[0].tokens_in == len(odd.encode())


async def test_greedy_is_equal_over_runs_threads_and_company(language: GenAIEngine) -> None:
    """Forty answers at once on two threads equal the one that ran alone."""
    wander = CompletionRequest("zz")
    alone = run(language, wander, Sampling(max_tokens=60))
    assert alone == run(language, wander, Sampling(max_tokens=60))
    answers = await asyncio.gather(*(collect(language, HELLO, Sampling(), n) for n in range(40)))
    assert set(answers) == {SCRIPT}


async def test_sampling_repeats_for_a_seed_and_only_for_it(language: GenAIEngine) -> None:
    """One seed gives one answer, alone or in company; other seeds, also above 32 bits, give others."""
    seeds = [1, 2, 3, 2**63 + 1, 2**64 - 1]
    alone = {seed: text(run(language, HELLO, WARM, seed)) for seed in seeds}
    again = await asyncio.gather(*(collect(language, HELLO, WARM, seed) for seed in seeds * 4))
    assert again == [alone[seed] for seed in seeds * 4]
    assert len(set(alone.values())) == len(seeds)


def test_the_coldest_sampling_is_greedy(language: GenAIEngine) -> None:
    """Our sampler over the engine's logits agrees with the engine's own argmax."""
    cold = Sampling(temperature=1, max_tokens=50)
    wander = CompletionRequest("zz")
    assert text(run(language, wander, cold, 9)) == text(run(language, wander, Sampling(max_tokens=50)))
    assert text(run(language, HELLO, cold, 9)) == SCRIPT


def test_sampling_options_are_applied(language: GenAIEngine) -> None:
    """With one candidate left by top_k or top_p, a hot sampler is greedy."""
    for sampling in (Sampling(temperature=2 * MILLION, top_k=1), Sampling(temperature=2 * MILLION, top_p=0)):
        assert text(run(language, HELLO, sampling, 5)) == SCRIPT


def test_answers_end_at_max_tokens(language: GenAIEngine) -> None:
    """An answer of n tokens ends with "length", and half a character at its end shows as U+FFFD."""
    deltas = run(language, HELLO, Sampling(max_tokens=3))
    assert (text(deltas), deltas[-1].finish, deltas[-1].tokens_out) == ("Hé", "length", 3)
    cut = run(language, HELLO, Sampling(max_tokens=2))
    assert (text(cut), cut[-1].finish, cut[-1].budget) == ("H\ufffd", "length", 2)


@pytest.mark.parametrize(
    ("stop", "shown"), [("👋", "Hé, "), ("é", "H"), ("H", ""), (", 👋", "Hé"), ("nowhere", SCRIPT)]
)
def test_stop_strings_end_the_answer(language: GenAIEngine, stop: str, shown: str) -> None:
    """A stop string over several tokens is recognised and not shown."""
    deltas = run(language, HELLO, Sampling(stop=(stop,)))
    assert (text(deltas), deltas[-1].finish) == (shown, "stop")


def test_the_context_bounds_prompt_and_answer(language: GenAIEngine) -> None:
    """More tokens than fit are cut to what fits; a prompt that fills the context is refused."""
    wander = run(language, CompletionRequest("z" * (CONTEXT - 5)), Sampling(max_tokens=50))
    assert (wander[-1].budget, wander[-1].tokens_out, wander[-1].finish) == (5, 5, "length")
    with pytest.raises(InvalidInput) as caught:
        run(language, CompletionRequest("z" * CONTEXT), Sampling(max_tokens=1))
    assert caught.value.reason == "context_length_exceeded"
    with pytest.raises(InvalidInput) as empty:
        run(language, CompletionRequest(""), Sampling())
    assert empty.value.reason == "empty_prompt"


async def test_errors_reach_the_consumer(language: GenAIEngine) -> None:
    """An error on the engine's thread is raised where the answer is awaited."""
    long = ChatRequest((Message("user", "z" * CONTEXT),))
    with pytest.raises(InvalidInput) as caught:
        await collect(language, long, Sampling(), 0)
    assert caught.value.reason == "context_length_exceeded"


async def test_leaving_stops_the_work(language: GenAIEngine) -> None:
    """When the consumer closes its stream, the engine's generator is closed and the thread is free."""
    async with aclosing(language.generate(HELLO, WARM, 1)) as deltas:
        assert (await anext(deltas)).tokens_out == 1
    assert await collect(language, HELLO, Sampling(), 0) == SCRIPT


def test_text_after_broken_bytes_is_not_lost(language: GenAIEngine) -> None:
    """Bytes that are no character become U+FFFD, and everything after them is still there."""
    wild = "".join(delta.text for delta in language.steps(HELLO, WARM, 1))
    assert len(wild) > 25
    assert "\ufffd" in wild[:-5]
