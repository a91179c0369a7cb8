"""A host process and its enclave get SIGKILL at random points of random paid requests: afterwards nobody paid
more than was reserved, or less than was delivered, and the chain has exactly what the accounts say.

Every request is followed from both ends: the client keeps each byte that came, and the journal is opened.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest

from hallmark.core import x402_digests as digests
from hallmark.core.answer import split_hallmark, split_hallmark_stream
from hallmark.core.document import hex0x
from hallmark.core.entries import decode
from hallmark.core.hashing import sha256
from hallmark.core.money import Payment, Price
from hallmark.core.prices import Use, cost
from hallmark.core.receipt import Receipt
from hallmark.core.spending import Spend
from hallmark.core.vault import SpendingCeiling, Vault, vault_digest
from hallmark.core.x402_payment import name_of
from hallmark.crypto.secp256k1 import Key
from hallmark.http.serve import Listen, Service, bind, serving
from hallmark.payments.accounts import Drawn, Ended, Kept, Reserved
from hallmark.payments.spending import HEADER, request_name, sign_spending
from hallmark.payments.x402.channels import OnChain
from hallmark.payments.x402.messages import SIGNATURE_HEADER, Requirements, decode_payment
from hallmark.payments.x402.rails import authorize
from hallmark.services.chain.rpc import RPC
from hallmark.services.chain.token import approve_call
from hallmark.services.chain.toolchain import prepare_x402, repository_root
from hallmark.services.chain.vault import Delays
from hallmark.services.chain.x402_contracts import install
from hallmark.services.chain.x402_settlement import channel_state, claimable
from hallmark.testing import enclaves, x402_payers
from hallmark.testing.anvil import CHAIN_ID, fund, running_anvil
from hallmark.testing.channel_payers import PayingChannel, request_of
from hallmark.testing.paid_host import Cut, PaidHost, SlowServer, ask
from hallmark.testing.ports import free_port
from hallmark.testing.vaults import FOREVER, VaultOnChain, named_key, new_vault

pytestmark = pytest.mark.integration

CHAT, INFER = "/v1/chat/completions", "/v1/hallmark/infer"
QUESTIONS = ("What does os.mkfifo do?", "What is json.dumps for?", "How do I use shutil.copytree?")
TENSORS = msgspec.json.encode({"model": "digits", "inputs": {"image": [[float(n % 17) for n in range(64)]]}})
PRICES = {
    "pydoc": Price("pydoc", 1_000_000, 2_000_000),
    "slow": Price("slow", 3_000_000, 5_000_000),
    "digits": Price("digits", call=50),
}
PIECES, PAUSE_S = 60, 0.015
GAS, PAYEE, SESSION = named_key("gas of killed hosts"), named_key("paid payee"), named_key("session")
PAYERS = [named_key(f"payer at a killed host {number}") for number in range(3)]
SIGNERS = {way: named_key(f"x402 payer by {way}") for way in ("exact", "permit2", "upto")}
CHANNELS = named_key("payer by channels")
WAYS = ("vault", "vault", "vault", *SIGNERS, "batch-settlement", "batch-settlement")
DEPOSIT, CHANNEL_DEPOSIT, MOST_TOKENS = 100_000, 20_000, 300
VICTIMS = (("host",), ("enclave",), ("host", "enclave"), ("enclave", "host"))
LIVES = int(os.environ.get("HALLMARK_PAYMENT_KILLS", "6"))
SEED = int(os.environ.get("HALLMARK_PAYMENT_KILLS_SEED", "1"))
AT_ONCE, LATEST_S, SETTLED_S = 8, 5.0, 240.0
ON_THEIR_WAY = 2
"""Messages that may be drawn and not with the client: one that has left, and the next, whose draw is sent."""


class Taught(msgspec.Struct, frozen=True):
    """What a request comes to when nobody dies: each model says the same again. `silent`: tokens beyond one
    for each piece of text.
    """

    use: Use
    silent: int


class Asked(msgspec.Struct):
    """One paid request: its bytes, the rail, the payer, its name in the accounts, what it can cost as its 402
    said; and what its client got. A request that a voucher pays for is named by its salt, which its answer's
    head tells: until then its name is empty.
    """

    label: str
    body: bytes
    rail: str
    payer: bytes
    name: bytes
    most: int
    voucher: bytes = b""
    got: Cut = msgspec.field(default_factory=Cut)

    @property
    def price(self) -> Price:
        """What its model costs."""
        return PRICES[self.label]

    @property
    def stream(self) -> bool:
        """Whether a stream is asked for."""
        return b'"stream":true' in self.body

    @property
    def used(self) -> bytes:
        """The 32 bytes that its payment is used once under."""
        return sha256(self.voucher, self.name) if self.voucher else self.name

    @property
    def pieces(self) -> list[int]:
        """How many pieces of text each message brought."""
        return [part.count(b'"delta":{"content":"') for part in self.got.parts]

    @property
    def answered(self) -> bool:
        """Whether the answer is complete."""
        return self.got.status == 200 and self.got.whole and (not self.stream or b"[DONE]" in self.got.body)


class Site:
    """The node, its chain, its log, and everything that was asked of it."""

    def __init__(self, host: PaidHost, chain: VaultOnChain, log: enclaves.FakeLog) -> None:
        self.host, self.chain, self._log = host, chain, log
        self.offered: dict[bytes, Mapping[str, str]] = {}
        self.taught: dict[bytes, Taught] = {}
        self.asked: list[Asked] = []
        self.reserved: dict[bytes, int] = {}
        self.used: dict[bytes, bytes] = {}
        self.drawn: dict[bytes, int] = {}
        self.ended: dict[bytes, int] = {}
        self.channels = [
            PayingChannel(CHANNELS, bytes([number]) * 32, CHANNEL_DEPOSIT, label=label, body=body)
            for number, (label, body) in enumerate(CHANNEL_BODIES)
        ]
        self._left, self._now = 0, asyncio.Event()

    async def learn(self) -> None:
        """What a 402 offers for each body, which is the same after each start, and what its answer costs."""
        for label, body in BODIES:
            path = path_of(label)
            refused = await ask(self.host.port, path, body, {})
            assert refused.status == 402, (refused, self.host.said())
            self.offered[body] = refused.headers
            one, headers = self._vault(label, body, PAYERS[0])
            self.asked.append(one)
            one.got = await ask(self.host.port, path, body, headers)
            assert one.answered, (one, self.host.said())
            content, raw = (split_hallmark_stream if one.stream else split_hallmark)(one.got.body)
            record = Payment.decode(msgspec.json.decode(raw)["documents"]["payment"].encode())
            use = use_of(record)
            silent = use.tokens_out - sum(one.pieces) if one.stream else 0
            assert 0 <= silent < 5, (silent, content)
            self.taught[body] = Taught(use, silent)

    async def one(self, chance: random.Random) -> None:
        """A random request by a random rail, at a random moment."""
        label, body = chance.choice(BODIES)
        way, payer = chance.choice(WAYS), chance.choice(PAYERS)
        await asyncio.sleep(chance.uniform(0, 0.8))
        if way == "batch-settlement":
            await self._by_channel(chance.choice(self.channels))
            return
        asked, headers = self._vault(label, body, payer) if way == "vault" else self._x402(label, body, way)
        self.asked.append(asked)
        asked.got = await ask(self.host.port, path_of(label), body, headers, self._hear)

    def _hear(self) -> None:
        self._left -= 1
        if self._left <= 0:
            self._now.set()

    async def moment(self, chance: random.Random) -> None:
        """A random moment while requests are under way: so late, or when so much has come of answers."""
        self._left, seconds = chance.randrange(1, 100), chance.uniform(0.2, 2.0)
        if chance.random() < 1 / 3:
            await asyncio.sleep(seconds)
            return
        self._now.clear()
        await asyncio.wait((asyncio.ensure_future(self._now.wait()),), timeout=LATEST_S)
        await asyncio.sleep(chance.uniform(0, 0.01))

    def _vault(self, label: str, body: bytes, payer: Key) -> tuple[Asked, dict[str, str]]:
        salt, most = secrets.token_bytes(32), amount_of(self.offered[body])
        ceiling = SpendingCeiling(payer.address, PAYEE.address, SESSION.address, DEPOSIT, 1, FOREVER)
        spend = Spend(
            payer.address,
            PAYEE.address,
            self.host.settlement.address,
            request_name(salt, path_of(label), body),
            most,
            secrets.token_bytes(32),
            (int(time.time()) + 3_600) * 1_000,
        )
        signature, vault = self.chain.sign(ceiling, payer), Vault(CHAIN_ID, self.chain.address)
        header = sign_spending(ceiling, signature, spend, salt, session=SESSION, vault=vault)
        name = vault_digest(spend, CHAIN_ID, self.chain.address)
        return Asked(label, body, "vault", payer.address, name, most), {HEADER: header}

    def _x402(self, label: str, body: bytes, way: str) -> tuple[Asked, dict[str, str]]:
        payer, now, told = SIGNERS[way], int(time.time()), self.offered[body]
        rail = "upto" if way == "upto" else "exact"
        accepted = x402_payers.chosen(told, rail, "" if way == "exact" else "permit2")
        if way == "exact":
            headers = x402_payers.exact(payer, accepted, now, secrets.token_bytes(32))
        else:
            headers = x402_payers.permit(payer, accepted, now, secrets.randbits(200))
        offers = [msgspec.convert(one, Requirements) for one in x402_payers.challenge_of(told)["accepts"]]
        payment = authorize(decode_payment(headers[SIGNATURE_HEADER].encode()), offers, now)
        return Asked(label, body, rail, payer.address, name_of(payment, b""), payment.amount), headers

    async def _by_channel(self, channel: PayingChannel) -> None:
        """A request by a channel's next voucher; once more where its payer did not know the channel's state,
        as after a kill.
        """
        async with channel.turn:
            for _ in range(2):
                headers, paid = channel.sign(self.offered[channel.body], int(time.time()))
                most = paid.amount
                one = Asked(channel.label, channel.body, paid.scheme, channel.id, b"", most, paid.digest)
                self.asked.append(one)
                path = path_of(one.label)
                one.got = await ask(self.host.port, path, one.body, headers, self._hear)
                one.name = request_of(one.got, path, one.body) or b""
                if not channel.hear(one.got):
                    return

    def look(self) -> None:
        """Take what the journal says of requests: a successor's begins anew."""
        for event in self.host.journal():
            if isinstance(event, Reserved):
                self.reserved[event.request] = event.most
                self.used[event.request] = event.authorization
            elif isinstance(event, Drawn):
                self.drawn[event.request] = max(event.total, self.drawn.get(event.request, 0))
            elif isinstance(event, Ended | Kept):
                charged = self.ended.setdefault(event.request, event.charged)
                assert charged == event.charged, "what a request was charged has changed"
                if isinstance(event, Kept):
                    self.used[event.request] = event.authorization

    def _name_the_rest(self) -> None:
        """Requests by vouchers whose head never came get the names that the journal has for their vouchers.
        Of several by one voucher, one at most was charged: the next voucher is for more then.
        """
        named = {one.name for one in self.asked}
        mine = [one for one in self.asked if one.voucher and not one.name]
        for name in sorted(self.used.keys() - named, key=lambda name: -self.ended.get(name, 0)):
            by = [one for one in mine if sha256(one.voucher, name) == self.used[name]]
            if by:
                min(by, key=lambda one: one.got.status).name = name
                mine = [one for one in mine if not one.name]

    def charged(self, payer: bytes) -> int:
        """What the accounts say that a payer was charged in all."""
        return sum(self.ended.get(one.name, 0) for one in self.asked if one.payer == payer)

    def records(self) -> dict[str, Payment]:
        """The payment records in the log, by what they were paid with."""
        entries = [decode(entry) for entry in self._log.entries]
        found = [Payment.decode(e.attachments[3]) for e in entries if isinstance(e.statement, Receipt)]
        by = {record.authorization: record for record in found}
        assert len(by) == len(found), "one payment in two receipts"
        return by

    async def settled(self) -> None:
        """Until the chain has what the accounts say, and the log every receipt; asserted after."""
        deadline = time.monotonic() + SETTLED_S
        while time.monotonic() < deadline:
            state = await self.host.ready()
            self.look()
            self._name_the_rest()
            pairs = [(await self.spent(payer), self.charged(payer.address)) for payer in PAYERS]
            pairs += [(await self.taken(one), self.charged(one.address)) for one in SIGNERS.values()]
            pairs += [((await self.held(one)).total_claimed, self.charged(one.id)) for one in self.channels]
            if all(has == says for has, says in pairs) and not state["outbox_waiting"]:
                return
            await asyncio.sleep(0.2)

    async def spent(self, payer: Key) -> int:
        """What the vault holds as charged by this node's enclaves."""
        return (await self.chain.vault.lease(self.host.settlement.address, payer.address)).spent

    async def held(self, channel: PayingChannel) -> OnChain:
        """What the chain has of a channel; nothing of one that nobody paid by."""
        return await channel_state(self.chain.rpc, channel.id or bytes(32))

    async def taken(self, payer: Key) -> int:
        """What an x402 payer has less than at first."""
        return DEPOSIT - await self.chain.token.balance(payer.address)


def amount_of(headers: Mapping[str, str]) -> int:
    """The most that a request can cost, by its 402."""
    return int(x402_payers.chosen(headers, "upto")["amount"])


def use_of(record: Payment) -> Use:
    """The use that a record charges for."""
    return Use(record.tokens_in, record.tokens_out)


def path_of(label: str) -> str:
    """Where a model is asked."""
    return INFER if label == "digits" else CHAT


def chat(label: str, question: str, *, stream: bool) -> bytes:
    """A question that may cost much more than its answer does."""
    said = {"model": label, "stream": stream, "max_tokens": MOST_TOKENS}
    return msgspec.json.encode({**said, "messages": [{"role": "user", "content": question}]})


SLOW = chat("slow", QUESTIONS[0], stream=True)
BODIES = (
    *[("slow", SLOW)] * 5,
    *(
        ("pydoc", chat("pydoc", question, stream=stream))
        for question in QUESTIONS
        for stream in (True, False)
    ),
    ("digits", TENSORS),
)
CHANNEL_BODIES = (BODIES[0], BODIES[0], BODIES[5], BODIES[6])
"""A channel pays for one of them alone: slow streams, a quick one, and a whole answer."""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """One node with the models that ship, a vault with three accounts, x402's contracts and three payers."""
    log = enclaves.FakeLog()
    with running_anvil() as url:
        server = SlowServer(pieces=PIECES, pause_s=PAUSE_S, tokens_in=-(-len(SLOW) // 4))
        listening = bind(Listen(free_port()))
        async with enclaves.fake_log(log) as log_url, serving(Service(server), listening, grace_s=1) as slow:
            rpc = RPC(url)
            await install(rpc, prepare_x402(repository_root()))
            chain = await new_vault(rpc, delays=Delays(lease=3_600, settlement=3_600, withdrawal=10_800))
            await fund(rpc, GAS)
            host = PaidHost(tmp_path, log_url, url, payee=PAYEE.address, gas=GAS, upstream=f"{slow}/v1")
            await chain.register(host.settlement, PAYEE.address)
            for payer in PAYERS:
                await chain.deposit(payer, DEPOSIT)
            for payer in (*SIGNERS.values(), CHANNELS):
                await fund(rpc, payer)
                await chain.pour(payer.address, DEPOSIT)
                await chain.send(
                    approve_call(digests.PERMIT2, 2**256 - 1), to=chain.parameters.asset, key=payer
                )
            host.offer(chain.parameters.asset, chain.address, tuple(PRICES.values()))
            host.start()
            try:
                yield Site(host, chain, log)
            finally:
                await host.stop()
                await rpc.aclose()


async def test_kills_leave_every_account_right(site: Site) -> None:
    """Charged is at most what was reserved; at least what was delivered, but for the last message; at most
    what was delivered and on its way; and, of a whole answer, everything or nothing. Records, accounts, vault
    and token agree, and nothing was taken twice.
    """
    chance, host, killed = random.Random(SEED), site.host, list[tuple[str, ...]]()
    await host.ready()
    await site.learn()
    for _ in range(LIVES):
        asking = [asyncio.create_task(site.one(chance)) for _ in range(AT_ONCE)]
        await site.moment(chance)
        killed.append(host.kill(chance.choice(VICTIMS)))
        site.look()
        if "host" in killed[-1]:
            await host.over()
        await asyncio.gather(*asking)
        site.look()
        if "host" in killed[-1]:
            host.start()
        await host.ready()
        site.look()
    await asyncio.gather(*(site.one(chance) for _ in range(AT_ONCE)))
    await site.settled()
    assert site.used.keys() <= {one.name for one in site.asked}, "somebody was served who did not ask"
    records = site.records()
    widest = max(max(one.pieces, default=0) for one in site.asked)
    for one in site.asked:
        check(one, site, records.pop(hex0x(one.used), None), widest)
    assert records == {}
    for payer in PAYERS:
        lease = await site.chain.vault.lease(host.settlement.address, payer.address)
        assert lease.spent == site.charged(payer.address)
        assert (await site.chain.vault.account(payer.address)).free + lease.allowance == DEPOSIT
    for payer in SIGNERS.values():
        assert await site.taken(payer) == site.charged(payer.address)
    held = [await site.held(channel) for channel in site.channels]
    assert [one.total_claimed for one in held] == [site.charged(channel.id) for channel in site.channels]
    assert {one.balance for one in held} <= {0, CHANNEL_DEPOSIT}
    assert await site.taken(CHANNELS) == sum(one.balance for one in held)
    token = site.chain.parameters.asset
    paid = await site.chain.token.balance(PAYEE.address) + await site.chain.vault.earned(PAYEE.address)
    paid += await claimable(site.chain.rpc, PAYEE.address, token)
    assert paid == sum(site.ended.values())
    # the run was of use: somebody died each time, answers were cut off and charged, others were complete
    cut = [one for one in site.asked if one.got.status == 200 and not one.answered]
    print(f"{len(site.asked)} asked, {sum(one.answered for one in site.asked)} answered, {len(cut)} cut off")
    assert all(killed)
    assert any(site.ended[one.name] for one in cut)
    assert any(site.charged(channel.id) for channel in site.channels)
    assert sum(one.answered for one in site.asked) > len(BODIES)


def check(one: Asked, site: Site, record: Payment | None, widest: int) -> None:
    """One request, from both ends."""
    charged, reserved = site.ended.get(one.name, 0), site.reserved.get(one.name)
    drawn = site.drawn.get(one.name, 0)
    told = (one, charged, reserved, record, drawn)
    if reserved is None and one.name in site.used:  # the next enclave's journal begins with its end
        reserved, drawn = one.most, charged
    if reserved is None:  # it was refused, or never came
        assert (charged, one.got.status == 200, record) == (0, False, None), told
        return
    assert charged <= drawn <= reserved == one.most, told
    assert site.used[one.name] == one.used, told
    if record is not None:
        assert (int(record.charged), int(record.reserved), record.rail) == (charged, reserved, one.rail), told
    assert record is not None or not one.answered, told
    least, most = bounds(one, site.taught[one.body], widest)
    assert least <= charged <= most, (least, most, told)
    if one.rail == "exact" or not one.stream:
        assert charged in (0, most), told


def bounds(one: Asked, taught: Taught, widest: int) -> tuple[int, int]:
    """The least and the most that a request may be charged, by what its client got."""
    if one.got.status not in (0, 200):
        return 0, 0
    whole = one.most if one.rail == "exact" else cost(one.price, taught.use)
    if one.answered:
        return whole, whole
    sure = sum(one.pieces[:-1])
    if one.rail == "exact" or not one.stream:
        return whole if sure else 0, whole
    here = sum(one.pieces) + ON_THEIR_WAY * max(widest, 1) + taught.silent
    least = cost(one.price, Use(taught.use.tokens_in, sure)) if sure else 0
    return least, min(whole, cost(one.price, Use(taught.use.tokens_in, here)))
