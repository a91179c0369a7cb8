"""What every test starts from; and in which order and in which process files with networks or browsers run.

Files that share a network run in one process, so that it is started once; what takes long begins first, while
there is other work beside it. Unit tests, which share nothing dear, are handed out one by one instead.
"""

from __future__ import annotations

import ast
import functools
import gc
import os
import ssl
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx._transports.default as transports
import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# How long examples take to make says how busy the machine is, and nothing of the code.
usual = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)
settings.register_profile("hallmark", usual, derandomize=bool(os.environ.get("CI")))
# For the night before a release: pytest tests/unit --hypothesis-profile=thorough
settings.register_profile("thorough", usual, max_examples=2_000)
settings.load_profile("hallmark")

COLLECT_EVERY = 50_000
"""New objects between two collections of garbage, in place of 700."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests and all that they import stay for good: garbage is not looked for among them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_EVERY, 10, 10)
        gc.enable()


RECURSION_LIMIT = 1_000
"""The interpreter's own, which services keep too."""


@pytest.fixture(autouse=True)
def recursion_limit() -> None:
    """Some libraries raise the limit a hundredfold when they are imported; nested JSON then ends the process
    that runs the tests, and no service would ever read it like that.
    """
    sys.setrecursionlimit(RECURSION_LIMIT)


_context_of = transports.create_ssl_context


@functools.cache
def _usual_context(*asked: object) -> ssl.SSLContext:
    return _context_of(trust_env=bool(asked[0]))


def _context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    """Every client of httpx reads all authorities of the web, 25 ms each, to ask a port of this machine; here
    they are read once for each place that they are read from.
    """
    if verify is not True or cert is not None:
        return _context_of(verify, cert, trust_env)
    return _usual_context(trust_env, *map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))


transports.create_ssl_context = _context

TESTS = Path(__file__).parent
SHARED = ("network", "tool_network", "paid_network")
FIRST = (
    "paid_network",
    "network",
    "test_chaos",
    "test_anchor_service",
    "tool_network",
    "test_dishonest_host",
    "test_walrus_clients",
    "test_enclave_node",
    "test_chaos_disk",
    "test_enclave_image",
    "test_token_failures",
    "test_upstream",
    "test_x402_facilitator",
    "test_payment_kills",
    "test_paid_start",
    "test_verifier",
    "test_issuer",
    "test_huggingface",
    "test_x402_upstream_flow",
    "test_walrus_vectors",
    "test_verify_by_hand",
    "test_log_service",
    "test_enclave",
    "test_log_crash",
    "test_enclave_probes",
    "test_free_start",
    "test_walk",
    "test_stories",
    "test_axe",
    "test_component",
    "test_chat",
    "test_sealed_chat",
    "test_mutations",
    "test_security",
    "test_opening",
    "test_sealed_network",
)
"""The groups that take longest."""


@functools.cache
def group_of(file: str) -> str:
    """The network that a file, named from the root, shares with others, or the file itself."""
    tree = ast.parse((TESTS.parent / file).read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    asking = [f for f in functions if f.name.startswith("test_") or any(map(_is_fixture, f.decorator_list))]
    asked = {a.arg for f in asking for a in f.args.args}
    # Some files have a network of that name of their own.
    shared = [name for name in SHARED if name in asked - {f.name for f in functions}]
    return shared[0] if shared else Path(file).stem


def _is_fixture(decorator: ast.expr) -> bool:
    """Other decorators, such as a context manager's, ask pytest for nothing."""
    return "fixture" in ast.unparse(decorator)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, where everything is of one kind."""

    def place(item: pytest.Item) -> tuple[int, str]:
        group = group_of(item.path.relative_to(TESTS.parent).as_posix())
        return FIRST.index(group) if group in FIRST else len(FIRST), group

    kinds = {item.path.relative_to(TESTS).parts[0] for item in items if item.path.is_relative_to(TESTS)}
    if kinds in ({"integration"}, {"browser"}):
        items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """With `--dist loadfile`, whole groups are handed out, in this order."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return ByGroup(config, log)


class ByGroup(LoadFileScheduling):
    """Hands out groups of files, in the order of `pytest_collection_modifyitems`."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])
