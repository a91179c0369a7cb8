"""The JSON-RPC client and the anchor check, against a server that answers as told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from eth_abi.abi import encode
from msgspec.structs import replace

from hallmark.core.document import hex0x
from hallmark.core.documents import AnchorRecord
from hallmark.core.errors import HallmarkError, Unavailable, VerificationFailed
from hallmark.crypto.secp256k1 import Key
from hallmark.http.asgi import Receive, Scope, Send, read_body, respond
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.services.anchor.chain import Rejected, Submission, View
from hallmark.services.anchor.evm import EVMAnchorChain
from hallmark.services.chain.check import ConfirmedAnchor, check_anchor
from hallmark.services.chain.contract import CHECKPOINT_ABI, Stored, selector
from hallmark.services.chain.rpc import RPC, Reverted, RPCRefused
from hallmark.services.chain.transactions import FEE_CAP, Fees

CONTRACT, ROOT = b"\xaa" * 20, b"\x05" * 32
RECORD = AnchorRecord(
    chain_id=31_337,
    contract=hex0x(CONTRACT),
    transaction=hex0x(bytes(32)),
    block=1,
    size=7,
    root=hex0x(ROOT),
    confirmations=99,
)
Answer = Callable[[str, list[Any]], dict[str, Any] | bytes]


@asynccontextmanager
async def endpoint(answer: Answer) -> AsyncIterator[RPC]:
    """A JSON-RPC endpoint on a free loopback port."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        call = msgspec.json.decode(await read_body(receive, 1 << 20))
        given = answer(call["method"], call["params"])
        body = (
            given if isinstance(given, bytes) else msgspec.json.encode({"jsonrpc": "2.0", "id": 1, **given})
        )
        await respond(send, 200, body)

    async with serving(Service(app), bind(Listen(0))) as url:
        rpc = RPC(url)
        yield rpc
        await rpc.aclose()


def chain(**changes: Any) -> Answer:
    """A chain at block 12 with one checkpoint, of block 10."""
    state = {"id": 31_337, "head": 12, "code": "0x60", "root": ROOT, "block": 10, "size": 7}
    state |= {"time": 1_700_000_000, **changes}

    def answer(method: str, params: list[Any]) -> dict[str, Any]:
        if method == "eth_call":
            assert params[0]["to"] == hex0x(CONTRACT)
            if state["size"] != 7:
                data = selector("UnknownCheckpoint(uint64)") + encode(["uint64"], [7])
                return {"error": {"code": 3, "message": "execution reverted", "data": hex0x(data)}}
            stored = (state["root"], state["block"], 1_700_000_000, 0)
            return {"result": hex0x(encode([CHECKPOINT_ABI], [stored]))}
        if method == "eth_getBlockByNumber":
            return {"result": {"timestamp": hex(state["time"])} if state["time"] else None}
        results = {"eth_chainId": hex(state["id"]), "eth_blockNumber": hex(state["head"])}
        return {"result": results.get(method, state["code"])}

    return answer


async def test_anchor_is_read_from_the_contract() -> None:
    """The confirmed anchor is what the contract says; the record's block and confirmations are ignored."""
    async with endpoint(chain()) as rpc:
        anchor = await check_anchor(rpc, CONTRACT, RECORD, chain_id=31_337, confirmations=3)
    assert (anchor.size, anchor.root, anchor.block, anchor.confirmations) == (7, ROOT, 10, 3)
    assert anchor.time == 1_700_000_000_000


async def test_block_that_was_pruned_still_counts() -> None:
    """An endpoint that no longer has the block can still say how deep it is."""
    async with endpoint(chain(time=0)) as rpc:
        anchor = await check_anchor(rpc, CONTRACT, RECORD, chain_id=31_337, confirmations=3)
    assert anchor.confirmations == 3


@pytest.mark.parametrize(
    ("changes", "reason", "says_otherwise"),
    [
        ({"id": 1}, "other_chain", False),
        ({"code": "0x"}, "anchor_not_deployed", False),
        ({"size": 8}, "anchor_missing", True),
        ({"size": 8, "head": RECORD.block - 1}, "anchor_not_reached", False),
        ({"root": bytes(32)}, "anchor_root_differs", True),
        ({"time": 1_700_000_001}, "anchor_block_mismatch", False),
        ({"block": 11}, "anchor_not_deep_enough", False),
        ({"block": 13}, "anchor_not_deep_enough", False),
    ],
)
async def test_every_lie_has_its_reason(changes: dict[str, Any], reason: str, says_otherwise: bool) -> None:
    """What the chain does not hold is refused for that reason, apart from what it does not say (yet)."""
    async with endpoint(chain(**changes)) as rpc:
        with pytest.raises(VerificationFailed if says_otherwise else Unavailable) as error:
            await check_anchor(rpc, CONTRACT, RECORD, chain_id=31_337, confirmations=3)
    assert error.value.reason == reason


@pytest.mark.parametrize(
    "said",
    [
        {"result": "0x"},
        {"result": hex0x(bytes(31))},
        {"result": hex0x(b"\xff" * 128)},
        {"error": {"code": 3, "message": "execution reverted", "data": "0x12345678"}},
        {"error": {"code": -32005, "message": "limit exceeded, call reverted"}},
        {"error": {"code": -32005, "message": "limit exceeded"}},
        {"result": None},
        {"result": 7},
    ],
)
async def test_an_answer_that_is_no_anchors_contradicts_nothing(said: dict[str, Any]) -> None:
    """Whatever else an endpoint says for the contract: nothing is known of the record, and nothing speaks
    against it.
    """
    usual = chain()

    def answer(method: str, params: list[Any]) -> dict[str, Any]:
        return said if method == "eth_call" else usual(method, params)

    async with endpoint(answer) as rpc:
        with pytest.raises(Unavailable):
            await check_anchor(rpc, CONTRACT, RECORD, chain_id=31_337)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (replace(RECORD, chain_id=1), "anchor_other_chain"),
        (replace(RECORD, contract=hex0x(bytes(20))), "anchor_other_contract"),
    ],
)
async def test_record_cannot_choose_its_judge(record: AnchorRecord, reason: str) -> None:
    """A record of another chain or contract than the trust file's is refused before anything is asked."""

    def nobody(method: str, params: list[Any]) -> dict[str, Any]:
        raise AssertionError("the endpoint was asked")

    async with endpoint(nobody) as rpc:
        with pytest.raises(VerificationFailed) as error:
            await check_anchor(rpc, CONTRACT, record, chain_id=31_337)
    assert error.value.reason == reason


def test_confirmed_anchor_is_not_made_by_hand() -> None:
    """Only the check makes a ConfirmedAnchor."""
    with pytest.raises(TypeError):
        ConfirmedAnchor(31_337, CONTRACT, 7, ROOT, 10, 0, 9)


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[]", b'{"result": "0xzz"}', b'{"result": null}', b'{"result": 5e}']
)
async def test_endpoint_that_talks_nonsense(body: bytes) -> None:
    """An answer that is no JSON-RPC answer is an unreachable chain, never a value."""
    async with endpoint(lambda method, params: body) as rpc:
        with pytest.raises(Unavailable) as error:
            await rpc.head()
    assert error.value.reason == "chain_unreachable"


async def test_nobody_there() -> None:
    """A closed port is an unreachable chain."""
    sock = bind(Listen(0))
    rpc = RPC(f"http://127.0.0.1:{sock.getsockname()[1]}")
    sock.close()
    with pytest.raises(Unavailable) as error:
        await rpc.head()
    assert error.value.reason == "chain_unreachable"
    await rpc.aclose()


async def test_reverts_are_told_from_refusals() -> None:
    """A revert carries its data wherever the endpoint puts it; other errors carry their code."""
    answers = iter(
        [
            {"error": {"code": 3, "message": "execution reverted", "data": "0x1234"}},
            {"error": {"code": -32000, "message": "VM: revert", "data": {"data": "0x1234"}}},
            {"error": {"code": -32003, "message": "insufficient funds"}},
        ]
    )
    async with endpoint(lambda method, params: next(answers)) as rpc:
        for _ in range(2):
            with pytest.raises(Reverted) as reverted:
                await rpc.call("eth_call")
            assert reverted.value.data == b"\x12\x34"
        with pytest.raises(RPCRefused) as refused:
            await rpc.call("eth_call")
        assert refused.value.code == -32003


DEEP = b"[" * 5_000 + b"]" * 5_000
SHAPES: list[bytes] = [
    b"null", b"true", b"12", b"-1", b"1e400", b'""', b'"0x"', b'"0xzz"', b'"-0x5"', b'"0x1"', b'"0x 1"',
    b"[]", b"[null]", b"[[]]", b'[{"transactionHash": 7}]', b'[{"transactionHash": "0x00"}]', b"{}",
    b'{"baseFeePerGas": null}', b'{"baseFeePerGas": [1]}', b'{"timestamp": "soon"}',
    b'"0x' + b"f" * 63 + b'"',
    b'"0x' + b"f" * 64 + b'"', b'"0x' + b"f" * 4000 + b'"', b'"0x' + b"00" * 256 + b'"', DEEP,
]  # fmt: skip
FAILURES: list[bytes] = [
    b'{"code": 3, "message": "revert", "data": [1]}', b'{"code": "3"}', b'{"message": 7}', b"[]", b'"no"',
    b'{"code": -32000, "message": "execution reverted", "data": {"data": 9}}', b'{"code": 1e99}',
]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [b'{"result": ' + shape + b"}" for shape in SHAPES]
    + [b'{"error": ' + shape + b"}" for shape in FAILURES],
)
async def test_anchoring_survives_any_shape_of_answer(body: bytes) -> None:
    """Whatever an endpoint answers, each question of anchoring ends in a value or in an error of ours."""
    async with endpoint(lambda method, params: body) as rpc:
        chain_ = EVMAnchorChain(rpc, CONTRACT, Key(b"\x07" * 32), 31_337)
        stored = Stored(7, ROOT, 3, 0, 0)
        submission = Submission(7, ROOT, (bytes(65),))
        asked: list[Awaitable[object]] = [
            chain_.view(),
            chain_.stored(7),
            chain_.transaction_of(stored),
            chain_.fees(),
            chain_.build(submission, 0, Fees(2, 1)),
            chain_.send(b"x"),
            chain_.knows(ROOT),
            chain_.contract.deployed(),
            chain_.contract.parameters(),
            rpc.block_time(3),
        ]
        for question in asked:
            try:
                answer = await question
            except (HallmarkError, Rejected):
                continue
            if isinstance(answer, Fees):
                assert answer.limit <= FEE_CAP
            if isinstance(answer, View):
                assert max(answer.head, answer.nonce, answer.latest.size, answer.latest.block) < 2**63
