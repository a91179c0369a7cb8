"""The log over HTTP with real witnesses: what clients see, and what happens when parts lie or fall behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hallmark.core.beacon import network_id
from hallmark.core.document import hex0x
from hallmark.core.entries import entry_id, leaf
from hallmark.core.errors import HallmarkError, Unavailable
from hallmark.core.merkle import CompactRange, leaf_hash
from hallmark.crypto.secp256k1 import Key
from hallmark.http.asgi import ASGIApp, Receive, Scope, Send, read_body, respond
from hallmark.http.client import Pool
from hallmark.http.limits import Limits
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.ledger import proof_of_work
from hallmark.ledger.checkpoint import Checkpoint
from hallmark.ledger.note import ED25519, Note, SigningKey
from hallmark.ledger.policy import Policy, verify_quorum
from hallmark.ledger.proof import verify_proof
from hallmark.ledger.sql_store import SQLWitnessState
from hallmark.ledger.tiles import decode_bundle
from hallmark.ledger.witness import Witness
from hallmark.services.log.admission import join_many
from hallmark.services.log.app import MAX_MANY
from hallmark.services.log.service import LogService
from hallmark.services.log.settings import Limits as LogLimits
from hallmark.services.log.settings import Quota, Quotas, Settings
from hallmark.services.node.forwarder import LogClient, LogProblem, Placed
from hallmark.store.raw import RawDatabase
from hallmark.testing import postgres
from hallmark.testing.log_entries import AUTHORITY, plain_entry, receipt_chain, vouched
from hallmark.testing.lying_log import witness_key
from hallmark.testing.ports import free_port
from hallmark.testing.witness_service import witness_app

ORIGIN = "log.test/hallmark"
NETWORK = network_id(ORIGIN)
CHAIN = 31337
SEED = bytes(range(32))
NAMES = ("w0", "w1", "w2", "w3")
pytestmark = pytest.mark.integration


class WitnessProcess:
    """A witness whose behaviour a test can change: `mode` is honest, refusing, forging, ahead or hanging."""

    def __init__(self, name: str, database: RawDatabase) -> None:
        self.name = name
        self.mode = "honest"
        key = SigningKey(ORIGIN, ED25519, SEED)
        self._honest = witness_app(Witness(witness_key(name), [key.verifier], SQLWitnessState(database)))

    def app(self) -> ASGIApp:
        """The witness's ASGI application."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if self.mode == "honest":
                await self._honest(scope, receive, send)
                return
            body = await read_body(receive, 70_000)
            if self.mode == "refusing":
                raise Unavailable("verdict_pending", "Not this one.")
            if self.mode == "hanging":
                await asyncio.sleep(3_600)
            if self.mode == "ahead":
                await respond(send, 409, b"999999999\n", content_type=b"text/x.tlog.size")
            if self.mode == "forging":
                note = Note.parse(body.partition(b"\n\n")[2])
                line = witness_key(self.name).cosign(note.text + b"other\n", 1_700_000_000_000)
                await respond(send, 200, line.line(), content_type=b"text/plain")

        return app


class Network:
    """Four witnesses that stay, and a log that can be started again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.witnesses = {
            name: WitnessProcess(name, RawDatabase(f"sqlite:///{folder}/{name}.db")) for name in NAMES
        }
        self.urls: dict[str, str] = {}
        self.stack = contextlib.AsyncExitStack()
        (folder / "log.key").write_text(SEED.hex())
        self.database = f"sqlite:///{folder}/log.db"

    async def open(self) -> None:
        """Start the witnesses."""
        for name, witness in self.witnesses.items():
            sock = bind(Listen(free_port()))
            self.urls[name] = await self.stack.enter_async_context(
                serving(Service(witness.app()), sock, grace_s=1)
            )

    @property
    def policy_text(self) -> str:
        """Three of the four."""
        log = SigningKey(ORIGIN, ED25519, SEED)
        lines = [f"witness {name} {witness_key(name).vkey} {self.urls[name]}" for name in NAMES]
        return "\n".join((f"log {log.vkey}", *lines, f"group g 3 {' '.join(NAMES)}", "quorum g", ""))

    @property
    def policy(self) -> Policy:
        """The parsed policy."""
        return Policy.parse(self.policy_text)

    def settings(self, holder: str = "log-1", quotas: Quotas | None = None, **limits: int) -> Settings:
        """The log's settings."""
        return Settings(
            listen=Listen(0),
            origin=ORIGIN,
            chain_id=CHAIN,
            key_file=str(self.folder / "log.key"),
            database=self.database,
            policy=self.policy_text,
            authority=(hex0x(AUTHORITY.address),),
            threshold=1,
            owners=(hex0x(AUTHORITY.address),),
            holder=holder,
            lease_ms=300,
            limits=LogLimits(**limits),
            quotas=quotas or Quotas(),
        )

    @contextlib.asynccontextmanager
    async def log(
        self, holder: str = "log-1", *, wait: bool = True, quotas: Quotas | None = None, **limits: int
    ) -> AsyncIterator[Client]:
        """A running log."""
        service = LogService(self.settings(holder, quotas, **limits))
        task = asyncio.create_task(service.run())
        front = Service(
            service.app,
            health=service.health,
            registry=service.metrics.registry,
            limits=Limits(body=MAX_MANY),
        )
        async with serving(front, bind(Listen(free_port())), grace_s=1) as url:
            client = Client(url, service, task)
            try:
                if wait:
                    await client.until("ready")
                yield client
            finally:
                await client.pool.aclose()
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        service.close()


class Client:
    """Talks to a log."""

    def __init__(self, url: str, service: LogService, task: asyncio.Task[None]) -> None:
        self.url, self.service, self.task = url, service, task
        self.pool = Pool()

    async def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body."""
        async with self.pool.request(method, self.url + path, (), body) as response:
            return response.status, await response.read()

    async def get(self, path: str) -> bytes:
        """The body of a 200."""
        status, data = await self.call("GET", path)
        assert status == 200, (path, status, data)
        return data

    async def add(self, entry: bytes) -> dict[str, int]:
        """Add an entry."""
        status, data = await self.call("POST", "/add", entry)
        assert status == 200, data
        return json.loads(data)

    async def refusal(self, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
        """Status and reason code of a refused request."""
        status, data = await self.call(method, path, body)
        return status, json.loads(data)["error"]["code"]

    async def until(self, state: str, reason: str = "") -> None:
        """Wait for a state of health."""
        for _ in range(500):
            health = self.service.health()
            if health.state == state and (not reason or health.reason == reason):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"the log is {self.service.health()}, not {state}")


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    """Four witnesses and room for a log."""
    made = Network(tmp_path)
    await made.open()
    yield made
    await made.stack.aclose()


def entry(number: int) -> bytes:
    """A plain entry."""
    return plain_entry(NETWORK, number)


async def test_from_entry_to_proof(network: Network) -> None:
    """An entry gets a place, and a proof that verifies offline with nothing but the policy."""
    before = time.time_ns() // 1_000_000
    async with network.log() as log:
        place = await log.add(entry(1))
        text = await log.get(f"/proof/{place['index']}?wait=5000")
        verified = verify_proof(network.policy, leaf(place["admitted"], entry(1)), text)
        assert (verified.index, len(verified.signers) >= 3) == (0, True)
        assert verified.leaf_hash.hex() == place["leaf_hash"]
        assert before <= place["admitted"] <= before + 60_000
        assert await log.add(entry(1)) == place
        found = json.loads(await log.get(f"/find/{entry_id(entry(1)).hex()}"))
        assert found == {"index": 0, "admitted": place["admitted"]}
        head = json.loads(await log.get("/wait?size=1&timeout=60000"))
        assert (head["size"], head["cosigned_size"], set(head["signers"]) <= set(NAMES)) == (1, 1, True)
        assert json.loads(await log.get("/head"))["size"] == 1


async def test_a_stranger_can_copy_and_recompute_the_log(network: Network) -> None:
    """From tiles, bundles and the checkpoint alone anyone gets the same root."""
    async with network.log() as log:
        body = join_many([entry(n) for n in range(600)])
        status, data = await log.call("POST", "/add-many", body)
        assert status == 200
        assert [result["index"] for result in json.loads(data)["results"]] == list(range(600))
        await log.get("/wait?size=600&timeout=60000")
        verified = verify_quorum(network.policy, Note.parse(await log.get("/checkpoint")))
        leaves: list[bytes] = []
        for path in ("000", "001", "002.p/88"):
            bundle = decode_bundle(await log.get(f"/tile/entries/{path}"))
            assert await log.get(f"/tile/0/{path}") == b"".join(map(leaf_hash, bundle))
            leaves += bundle
        tree = CompactRange()
        tree.extend(map(leaf_hash, leaves))
        assert (verified.checkpoint.size, verified.checkpoint.root) == (600, tree.root())
        assert [one[8:] for one in leaves] == [entry(n) for n in range(600)]
        assert decode_bundle(await log.get("/leaves?start=250&end=260")) == leaves[250:260]
        assert decode_bundle(await log.get("/leaves?start=590")) == leaves[590:]
        assert await log.get("/leaves?start=600") == b""
        latest = Note.parse(await log.get("/checkpoint/latest"))
        assert Checkpoint.parse(latest.text) == verified.checkpoint
        for index in (0, 255, 256, 599):
            text = await log.get(f"/proof/{index}")
            assert verify_proof(network.policy, leaves[index], text).index == index


async def test_followers_are_told_at_once(network: Network) -> None:
    """A long poll for leaves and one for a cosigned size return when there is something, or in time."""
    async with network.log() as log:
        leaves = asyncio.create_task(log.get("/leaves?start=0&wait=20000"))
        cosigned = asyncio.create_task(log.get("/wait?size=1&timeout=60000"))
        await log.get("/head")
        place = await log.add(entry(1))
        assert decode_bundle(await leaves) == [leaf(place["admitted"], entry(1))]
        assert json.loads(await cosigned)["cosigned_size"] == 1
        assert await log.get("/leaves?start=1&wait=10") == b""


async def test_receipts_are_ordered_and_refusals_say_why(network: Network) -> None:
    """Receipts go in by sequence; every refusal has a status and a reason code."""
    key, other = Key(bytes([9]) * 32), Key(bytes([8]) * 32)
    chain = receipt_chain(NETWORK, CHAIN, key, 3)
    async with network.log(order_wait_ms=50) as log:
        assert await log.refusal("POST", "/add", chain[0]) == (409, "signer_unknown")
        await log.add(vouched(NETWORK, key))
        await log.add(vouched(NETWORK, other))
        places = await asyncio.gather(*(log.add(chain[n]) for n in (2, 1, 0)))
        assert [place["index"] for place in places] == [4, 3, 2]
        late = receipt_chain(NETWORK, CHAIN, other, 2)[1]
        assert await log.refusal("POST", "/add", late) == (409, "receipt_out_of_order")
        assert await log.refusal("POST", "/add", b"junk") == (400, "bad_entry")
        assert await log.refusal("POST", "/add", plain_entry(bytes(32), 1)) == (400, "wrong_network")
        assert await log.refusal("POST", "/add", bytes(70_000)) == (413, "entry_too_large")
        assert await log.refusal("POST", "/add-many", b"\0\0\0\5x") == (400, "bad_add_many")
        assert await log.refusal("POST", "/add-many", bytes(4) * 4_097) == (413, "too_many_entries")
        assert await log.refusal("GET", "/proof/5") == (404, "no_such_entry")
        assert await log.refusal("GET", f"/find/{'0' * 64}") == (404, "no_such_entry")
        assert await log.refusal("GET", "/tile/0/001") == (404, "no_such_tile")
        assert await log.refusal("GET", "/tile/entries/000.p/6") == (404, "no_such_tile")
        assert await log.refusal("GET", "/tile/0/1") == (400, "bad_tile_path")
        assert await log.refusal("GET", "/leaves?start=6") == (404, "no_such_entry")
        assert await log.refusal("GET", "/wait?size=x") == (400, "bad_query")
        assert await log.refusal("GET", "/wait?size=6&timeout=1") == (503, "not_witnessed_yet")
        assert await log.refusal("GET", "/add") == (400, "method_not_allowed")
        assert await log.refusal("GET", "/nothing") == (404, "no_such_path")
        mixed = join_many([entry(1), b"junk", chain[0]])
        results = json.loads((await log.call("POST", "/add-many", mixed))[1])["results"]
        assert [result.get("index", result.get("error", {}).get("code")) for result in results] == [
            5,
            "bad_entry",
            2,
        ]


async def test_a_body_over_the_limit_is_refused(network: Network) -> None:
    """More than 8 MiB are not taken in, announced or not."""
    async with network.log() as log:
        assert await log.refusal("POST", "/add-many", bytes(MAX_MANY + 1)) == (413, "body_too_large")
        await log.add(entry(1))


@pytest.mark.parametrize("mode", ["refusing", "forging", "ahead", "hanging"])
async def test_one_bad_witness_changes_nothing(network: Network, mode: str) -> None:
    """With one of four refusing, forging, lying about its size or hanging, proofs come all the same."""
    network.witnesses["w2"].mode = mode
    async with network.log() as log:
        for number in range(5):
            place = await log.add(entry(number))
            text = await log.get(f"/proof/{number}?wait=10000")
            signers = verify_proof(network.policy, leaf(place["admitted"], entry(number)), text).signers
            assert set(signers) == {"w0", "w1", "w3"}
        assert log.service.health().state == "ready"


async def test_without_a_quorum_nothing_is_claimed(network: Network) -> None:
    """With two of four refusing, entries are logged, no proof is given out, and later all comes right."""
    async with network.log() as log:
        await log.add(entry(0))
        await log.get("/proof/0?wait=10000")
        network.witnesses["w0"].mode = network.witnesses["w1"].mode = "refusing"
        place = await log.add(entry(1))
        assert await log.refusal("GET", "/proof/1?wait=150") == (503, "not_witnessed_yet")
        assert Checkpoint.parse(Note.parse(await log.get("/checkpoint")).text).size == 1
        network.witnesses["w0"].mode = "honest"
        await log.add(entry(2))
        text = await log.get("/proof/1?wait=10000")
        verified = verify_proof(network.policy, leaf(place["admitted"], entry(1)), text)
        assert verified.checkpoint.size > place["index"]


async def test_witnesses_catch_up_by_themselves(network: Network) -> None:
    """A witness that missed hundreds of entries cosigns again with the first proof it is given."""
    async with network.log() as log:
        await log.add(entry(0))
        await log.get("/wait?size=1&timeout=60000")
        network.witnesses["w3"].mode = "refusing"
        for start in range(1, 700, 233):
            await log.call("POST", "/add-many", join_many([entry(start + n) for n in range(233)]))
        await log.get("/wait?size=700&timeout=60000")
        network.witnesses["w3"].mode = "honest"
        network.witnesses["w0"].mode = "refusing"
        await log.add(entry(9_999))
        head = json.loads(await log.get("/wait?size=701&timeout=60000"))
        assert set(head["signers"]) == {"w1", "w2", "w3"}


async def test_a_restart_goes_on_where_it_was(network: Network) -> None:
    """After a restart the same entries have the same places, and the witnesses are resynchronised."""
    async with network.log() as log:
        places = [await log.add(entry(n)) for n in range(10)]
        await log.call("POST", "/add-many", join_many([entry(n) for n in range(10, 300)]))
        await log.get("/wait?size=300&timeout=60000")
    async with network.log() as log:
        assert json.loads(await log.get("/head"))["size"] == 300
        assert await log.add(entry(7)) == places[7]
        assert (await log.add(entry(300)))["index"] == 300
        text = await log.get("/proof/7?wait=10000")
        verify_proof(network.policy, leaf(places[7]["admitted"], entry(7)), text)
        await log.get("/wait?size=301&timeout=60000")


async def test_a_restored_backup_cannot_fork_the_log(network: Network) -> None:
    """A log whose store lost its end takes no entries and signs nothing new: its witnesses know more."""
    async with network.log() as log:
        for n in range(5):
            await log.add(entry(n))
        await log.get("/wait?size=5&timeout=60000")
    backup = network.folder / "backup.db"
    shutil.copy(network.folder / "log.db", backup)
    async with network.log() as log:
        await log.add(entry(5))
        await log.get("/wait?size=6&timeout=60000")
    for suffix in ("-wal", "-shm"):
        (network.folder / f"log.db{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, network.folder / "log.db")
    async with network.log(wait=False) as log:
        await log.until("failed", "log_behind_witness")
        assert await log.refusal("POST", "/add", entry(77)) == (503, "log_stopped")
        status, body = await log.call("GET", "/healthz")
        told = json.loads(body)
        assert (status, told["state"], told["reason"]) == (503, "failed", "log_behind_witness")
        assert "Restore the newest copy" in told["next"]


async def test_before_the_quorum_confirms_nothing_is_taken(network: Network) -> None:
    """After a restart with too few witnesses the log serves what it has, and takes nothing."""
    async with network.log() as log:
        place = await log.add(entry(0))
        await log.get("/wait?size=1&timeout=60000")
    for name in ("w0", "w1"):
        network.witnesses[name].mode = "refusing"
    async with network.log(wait=False) as log:
        await log.until("degraded", "log_unconfirmed")
        assert await log.refusal("POST", "/add", entry(1)) == (503, "log_unconfirmed")
        verify_proof(network.policy, leaf(place["admitted"], entry(0)), await log.get("/proof/0"))
        network.witnesses["w0"].mode = "honest"
        await log.until("ready")
        await log.add(entry(1))


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of our own."""
    if postgres.binaries() is None:
        pytest.skip("no PostgreSQL server is installed")
    with postgres.server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, network: Network) -> Network:
    """The network with a store that two logs share."""
    if request.param == "postgresql":
        network.database = request.getfixturevalue("postgres_url")
    return network


async def test_a_standby_takes_over(shared: Network) -> None:
    """A standby answers 503 until the first lets go, then carries on the same log; the fence holds."""
    key, stranger = Key(bytes([9]) * 32), Key(bytes([8]) * 32)
    async with shared.log("log-1") as first:
        await first.add(entry(0))
        await first.add(vouched(NETWORK, key))
        await first.get("/wait?size=2&timeout=60000")
        async with shared.log("log-2", wait=False) as second:
            assert await second.refusal("POST", "/add", entry(1)) == (503, "log_standby")
            assert second.service.health().reason == "log_standby"
            first.task.cancel()
            await asyncio.gather(first.task, return_exceptions=True)
            await second.until("ready")
            assert await first.refusal("POST", "/add", entry(1)) == (503, "log_standby")
            place = await second.add(entry(1))
            assert place["index"] == 2
            text = await second.get("/proof/2?wait=10000")
            verify_proof(shared.policy, leaf(place["admitted"], entry(1)), text)
            # Who had registered with the first is known to the second.
            assert (await second.add(receipt_chain(NETWORK, CHAIN, key, 1)[0]))["index"] == 3
            assert await second.refusal("POST", "/add", receipt_chain(NETWORK, CHAIN, stranger, 1)[0]) == (
                409,
                "signer_unknown",
            )


async def test_a_log_that_overslept_is_fenced(network: Network) -> None:
    """A holder that could not renew, and does not know it, is refused by the store and ends."""
    async with network.log("log-1") as first:
        await first.add(entry(0))
        usurper = LogService(network.settings("log-2"))
        lease = await usurper._keeper.take(time.time_ns() // 1_000_000 + 10_000)
        assert lease is not None
        assert await first.refusal("POST", "/add", entry(1)) == (503, "log_standby")
        with pytest.raises(HallmarkError) as caught:
            await first.task
        assert caught.value.reason == "lease_lost"
        usurper.close()


async def test_strangers_work_and_wait(network: Network) -> None:
    """Work is asked for and taken; a quota says when to come again, in the head and in the body."""
    owner = Key(bytes([60]) * 32)
    joining = [vouched(NETWORK, Key(bytes([61 + n]) * 32), owner=owner) for n in range(3)]
    quotas = Quotas(work_bits=8, strangers=Quota(0.1, 2))
    async with network.log(quotas=quotas) as log:
        status, data = await log.call("POST", "/add", joining[0])
        error = json.loads(data)["error"]
        assert (status, error["code"], error["work_bits"]) == (428, "work_missing", 8)
        results = json.loads((await log.call("POST", "/add-many", join_many(joining)))[1])["results"]
        assert {result["error"]["work_bits"] for result in results} == {8}
        for expected, one in zip((200, 200, 429), joining, strict=True):
            headers = (proof_of_work.header_of(proof_of_work.make(entry_id(one), 8)),)
            async with log.pool.request("POST", log.url + "/add", headers, one) as response:
                said = json.loads(await response.read())
                assert response.status == expected, said
        assert said["error"]["code"] == "quota_used"
        assert response.header(b"retry-after") == str(said["error"]["retry_after"]).encode() == b"10"
        client = LogClient(log.pool, log.url, ORIGIN)
        other = vouched(NETWORK, Key(bytes([70]) * 32), owner=Key(bytes([71]) * 32))
        (answer,) = await client.add([other])
        assert isinstance(answer, LogProblem)
        assert (answer.code, answer.retry_after) == ("quota_used", 10)


async def test_a_node_works_by_itself(network: Network) -> None:
    """The client that hosts use makes the work that is asked for."""
    other = vouched(NETWORK, Key(bytes([70]) * 32), owner=Key(bytes([71]) * 32))
    async with network.log(quotas=Quotas(work_bits=8)) as log:
        client = LogClient(log.pool, log.url, ORIGIN)
        answers = await client.add([entry(1), other])
        assert [answer.index for answer in answers if isinstance(answer, Placed)] == [0, 1]
