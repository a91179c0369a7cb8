"""What an issuer must never forget: its key sets, what was bought, what is held and spent, who is owed what.

    epochs      one key set each; secrets sealed with the issuer's key; `logged` once the log has it
    purchases   one for each payment: `asked`, then `paid`; the same payment buys the same signatures again
    holds       one for each request: `held`, then `settled`, `released`, or `lapsed` when time ran out
    spent       nullifiers, each of the one hold that has it now
    owed        what payees earned and were not paid
    payouts     `due`, then `paid`; each is a transfer that the chain takes once

Every step is one transaction, so a kill leaves it done or not begun; whoever asked asks again.
"""

from __future__ import annotations

import enum
import secrets
from collections.abc import Sequence
from typing import Final

import msgspec

from hallmark.core.errors import Conflict, HallmarkError, NotFound
from hallmark.store.raw import RawDatabase, Row, Transaction

KEPT_MS: Final = 30 * 86_400_000
"""For so long after the end of its key set a spend is remembered."""


class TokenSpent(Conflict):
    """A token was spent before."""

    retry = False


class TokenHeld(Conflict):
    """A token is held for another request, which may still give it back."""

    retry = True


class HoldState(enum.StrEnum):
    """See the module docstring."""

    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    LAPSED = "lapsed"


class KeptEpoch(msgspec.Struct, frozen=True):
    """A key set: the document's digest and exact bytes, its sealed secrets, the exact log entry."""

    epoch: int
    digest: bytes
    document: bytes
    secrets: bytes
    entry: bytes
    logged: bool = False


class Purchase(msgspec.Struct, frozen=True):
    """`id` is the payment's, `fingerprint` of all that was asked for with it."""

    id: bytes
    fingerprint: bytes
    epoch: int
    payer: bytes
    amount: int
    paid: bool = False


class Hold(msgspec.Struct, frozen=True):
    """`spend` is the digest of what was presented, `reserved` what it is worth (atomic units), `key` who may
    settle. `charged` and `change` (as it was answered) are of a settled one; `asked` is that demand's digest.
    """

    request: bytes
    spend: bytes
    epoch: int
    payee: bytes
    key: bytes
    reserved: int
    until: int
    state: HoldState = HoldState.HELD
    charged: int = 0
    asked: bytes = b""
    change: bytes = b""


class Payout(msgspec.Struct, frozen=True):
    """A transfer to a payee; `id` is the nonce that lets it happen once."""

    id: bytes
    payee: bytes
    amount: int
    at: int


def _create(transaction: Transaction) -> None:
    for table in (
        "epochs (epoch INTEGER PRIMARY KEY, digest BLOB NOT NULL, document BLOB NOT NULL, "
        "secrets BLOB NOT NULL, entry BLOB NOT NULL, logged INTEGER NOT NULL)",
        "purchases (id BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, epoch INTEGER NOT NULL, "
        "payer BLOB NOT NULL, amount TEXT NOT NULL, paid INTEGER NOT NULL)",
        "holds (request BLOB PRIMARY KEY, spend BLOB NOT NULL, epoch INTEGER NOT NULL, payee BLOB NOT NULL, "
        "key BLOB NOT NULL, reserved TEXT NOT NULL, until INTEGER NOT NULL, state TEXT NOT NULL, "
        "charged TEXT NOT NULL, asked BLOB NOT NULL, change BLOB NOT NULL)",
        "spent (nullifier BLOB PRIMARY KEY, request BLOB NOT NULL)",
        "owed (payee BLOB PRIMARY KEY, amount TEXT NOT NULL, since INTEGER NOT NULL)",
        "payouts (id BLOB PRIMARY KEY, number INTEGER NOT NULL, payee BLOB NOT NULL, amount TEXT NOT NULL, "
        "at INTEGER NOT NULL, paid INTEGER NOT NULL)",
    ):
        transaction.execute(f"CREATE TABLE {table}")
    transaction.execute("CREATE INDEX spent_request ON spent (request)")
    transaction.execute("CREATE INDEX payouts_paid ON payouts (paid)")


class Store:
    """The rows, in a database that nobody else writes."""

    def __init__(self, database: RawDatabase) -> None:
        self._database = database
        database.migrate("issuer", (_create,))

    async def keep_epoch(self, made: KeptEpoch) -> KeptEpoch:
        """The key set of this epoch: the one that is there, or else `made`. There is never a second one."""

        def work(transaction: Transaction) -> KeptEpoch:
            transaction.execute(
                "INSERT INTO epochs VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT (epoch) DO NOTHING",
                (made.epoch, made.digest, made.document, made.secrets, made.entry),
            )
            return _epochs(transaction, "WHERE epoch = ?", (made.epoch,))[0]

        return await self._database.async_write(work)

    async def logged(self, epoch: int) -> None:
        """The log has the key set of this epoch."""
        query = "UPDATE epochs SET logged = 1 WHERE epoch = ?"
        await self._database.async_write(lambda t: t.execute(query, (epoch,)))

    async def epochs(self) -> list[KeptEpoch]:
        """Every key set, oldest first."""
        return await self._database.async_read(lambda t: _epochs(t, "", ()))

    async def ask(self, one: Purchase) -> Purchase:
        """Write a purchase down; the one that is there when its payment was presented before.

        Raises Conflict `purchase_differs` when that one was for something else.
        """

        def work(transaction: Transaction) -> Purchase:
            transaction.execute(
                "INSERT INTO purchases VALUES (?, ?, ?, ?, ?, 0) ON CONFLICT (id) DO NOTHING",
                (one.id, one.fingerprint, one.epoch, one.payer, str(one.amount)),
            )
            known = _purchase(transaction, one.id)
            assert known is not None, "it was written just now"
            if known.fingerprint != one.fingerprint:
                raise Conflict(
                    "purchase_differs",
                    "This payment was presented before, with other blinded messages.",
                    "Send exactly what was sent the first time.",
                )
            return known

        return await self._database.async_write(work, brief=True)

    async def purchase(self, name: bytes) -> Purchase | None:
        """What a payment was presented for."""
        return await self._database.async_read(lambda t: _purchase(t, name))

    async def paid(self, name: bytes) -> None:
        """The chain has a purchase's payment."""
        query = "UPDATE purchases SET paid = 1 WHERE id = ?"
        await self._database.async_write(lambda t: t.execute(query, (name,)), brief=True)

    async def drop(self, name: bytes) -> None:
        """The chain does not take a purchase's payment, so nothing was bought."""
        query = "DELETE FROM purchases WHERE id = ? AND paid = 0"
        await self._database.async_write(lambda t: t.execute(query, (name,)), brief=True)

    async def hold(self, one: Hold, nullifiers: Sequence[bytes], now: int) -> Hold:
        """Hold these tokens at `now` (unix ms); asked again, the same.

        Raises TokenSpent `token_spent`, TokenHeld `token_held`, Conflict `hold_differs`, `hold_over`.
        """

        def work(transaction: Transaction) -> Hold:
            known = _hold(transaction, one.request)
            if known is not None:
                _require_same(known, one)
                return known
            _take(transaction, one, nullifiers, now)
            return one

        return await self._database.async_write(work, brief=True)

    async def exchange(self, one: Hold, nullifiers: Sequence[bytes], now: int) -> Hold:
        """Spend these tokens for others: `one` is settled, with what was asked and answered. Asked again, the
        same answer. Raises TokenSpent `token_spent`, TokenHeld `token_held`, Conflict `exchange_differs`.
        """

        def work(transaction: Transaction) -> Hold:
            known = _hold(transaction, one.request)
            if known is None:
                _take(transaction, one, nullifiers, now)
            elif known.asked != one.asked:
                raise Conflict("exchange_differs", "These tokens were exchanged for others, before.")
            return known or one

        return await self._database.async_write(work, brief=True)

    async def find_hold(self, request: bytes) -> Hold | None:
        """The hold of a request."""
        return await self._database.async_read(lambda t: _hold(t, request))

    async def holder_of(self, nullifier: bytes) -> Hold | None:
        """The hold that has a token now."""

        def work(transaction: Transaction) -> Hold | None:
            rows = transaction.fetch("SELECT request FROM spent WHERE nullifier = ?", (nullifier,))
            return _hold(transaction, bytes(rows[0][0])) if rows else None

        return await self._database.async_read(work)

    async def settle(self, settled: Hold, earned: int, now: int) -> Hold:
        """Settle what is held: `settled` has what is charged, asked and answered; `earned` goes to the payee.
        Asked again, the same answer.

        Raises NotFound `hold_unknown`, Conflict `hold_lapsed`, `settle_differs`.
        """

        def work(transaction: Transaction) -> Hold:
            known = _require(transaction, settled)
            if known.state is HoldState.SETTLED:
                return known
            transaction.execute(
                "UPDATE holds SET state = 'settled', charged = ?, asked = ?, change = ? WHERE request = ?",
                (str(settled.charged), settled.asked, settled.change, settled.request),
            )
            _earn(transaction, known.payee, earned, now)
            return msgspec.structs.replace(settled, state=HoldState.SETTLED)

        return await self._database.async_write(work, brief=True)

    async def release(self, released: Hold) -> None:
        """Nothing was charged: its tokens are as good as before. Raises as `settle` does."""

        def work(transaction: Transaction) -> None:
            known = _hold(transaction, released.request)
            if known is not None and known.state in (HoldState.RELEASED, HoldState.LAPSED):
                return
            if _require(transaction, released).state is HoldState.SETTLED:
                raise _differs()
            _let_go(transaction, released.request, HoldState.RELEASED)

        await self._database.async_write(work, brief=True)

    async def begin_payouts(self, pay_from: int, before: int, now: int) -> list[Payout]:
        """Make a payout of all that is owed to each payee that has `pay_from`, or earned the first of it
        before `before` (unix ms); every payout that is due, oldest first.
        """

        def work(transaction: Transaction) -> list[Payout]:
            for payee, amount, since in transaction.fetch("SELECT payee, amount, since FROM owed"):
                if int(amount) <= 0 or (int(amount) < pay_from and since > before):
                    continue
                last = transaction.fetch("SELECT MAX(number) FROM payouts")[0][0]
                number = int(last or 0) + 1
                name = secrets.token_bytes(32)  # a store that begins anew takes no old transfer for its own
                transaction.execute(
                    "INSERT INTO payouts VALUES (?, ?, ?, ?, ?, 0)", (name, number, bytes(payee), amount, now)
                )
                transaction.execute("DELETE FROM owed WHERE payee = ?", (bytes(payee),))
            rows = transaction.fetch(
                "SELECT id, payee, amount, at FROM payouts WHERE paid = 0 ORDER BY number"
            )
            return [Payout(bytes(name), bytes(payee), int(amount), at) for name, payee, amount, at in rows]

        return await self._database.async_write(work)

    async def paid_out(self, name: bytes, block: int) -> None:
        """The chain has a payout, as of this block."""
        query = "UPDATE payouts SET paid = ? WHERE id = ?"
        await self._database.async_write(lambda t: t.execute(query, (max(1, block), name)), brief=True)

    async def unpaid(self, name: bytes) -> None:
        """The chain has lost a payout: it is due once more."""
        query = "UPDATE payouts SET paid = 0 WHERE id = ?"
        await self._database.async_write(lambda t: t.execute(query, (name,)), brief=True)

    async def paid_since(self, block: int) -> list[Payout]:
        """Payouts that the chain was seen to have after this block, which it could still lose."""
        query = "SELECT id, payee, amount, at FROM payouts WHERE paid > ? ORDER BY number"
        rows = await self._database.async_read(lambda t: t.fetch(query, (max(1, block),)))
        return [Payout(bytes(name), bytes(payee), int(amount), at) for name, payee, amount, at in rows]

    async def totals(self) -> dict[str, int]:
        """Atomic units: `sold` for tokens, `held`, `earned` by payees, of that `owed` and `paid`."""

        def work(transaction: Transaction) -> dict[str, int]:
            def total(query: str) -> int:
                return sum(int(row[0]) for row in transaction.fetch(query))

            owed = total("SELECT amount FROM owed") + total("SELECT amount FROM payouts WHERE paid = 0")
            paid = total("SELECT amount FROM payouts WHERE paid > 0")
            return {
                "sold": total("SELECT amount FROM purchases WHERE paid = 1"),
                "held": total("SELECT reserved FROM holds WHERE state = 'held'"),
                "earned": owed + paid,
                "owed": owed,
                "paid": paid,
            }

        return await self._database.async_read(work)

    async def prune(self, ended: Sequence[int]) -> None:
        """Forget what was spent of these epochs, which ended long ago."""

        def work(transaction: Transaction) -> None:
            for epoch in ended:
                transaction.execute(
                    "DELETE FROM spent WHERE request IN (SELECT request FROM holds WHERE epoch = ?)", (epoch,)
                )
                transaction.execute("DELETE FROM holds WHERE epoch = ?", (epoch,))

        if ended:
            await self._database.async_write(work)


def _take(transaction: Transaction, one: Hold, nullifiers: Sequence[bytes], now: int) -> None:
    """The tokens are this hold's, which is new. Raises as `_free`."""
    for nullifier in nullifiers:
        _free(transaction, nullifier, now)
    columns = (one.request, one.spend, one.epoch, one.payee, one.key, str(one.reserved), one.until)
    over = (one.state.value, str(one.charged), one.asked, one.change)
    transaction.execute("INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*columns, *over))
    rows = [(nullifier, one.request) for nullifier in nullifiers]
    transaction.executemany("INSERT INTO spent VALUES (?, ?)", rows)


def _free(transaction: Transaction, nullifier: bytes, now: int) -> None:
    """Make sure that nobody has a token: a hold whose time ran out lets go of all of its own."""
    rows = transaction.fetch("SELECT request FROM spent WHERE nullifier = ?", (nullifier,))
    if not rows:
        return
    holder = _hold(transaction, bytes(rows[0][0]))
    assert holder is not None, "a nullifier is of a hold"
    if holder.state is HoldState.HELD and holder.until > now:
        raise TokenHeld(
            "token_held",
            "A token is held for another request.",
            "It is free again when that one is over, after fifteen minutes at most.",
        )
    if holder.state is HoldState.SETTLED:
        raise TokenSpent("token_spent", "A token was spent before.", "Use tokens that were not.")
    _let_go(transaction, holder.request, HoldState.LAPSED)


def _let_go(transaction: Transaction, request: bytes, state: HoldState) -> None:
    transaction.execute("DELETE FROM spent WHERE request = ?", (request,))
    transaction.execute("UPDATE holds SET state = ? WHERE request = ?", (state.value, request))


def _require_same(known: Hold, asked: Hold) -> None:
    mine = (known.spend, known.payee, known.key)
    if mine != (asked.spend, asked.payee, asked.key):
        raise Conflict("hold_differs", "Something else is held for this request.")
    if known.state is not HoldState.HELD:
        raise Conflict("hold_over", "This request is over; nothing is held for it any more.")


def _require(transaction: Transaction, asked: Hold) -> Hold:
    known = _hold(transaction, asked.request)
    if known is None:
        raise NotFound("hold_unknown", "Nothing is held for this request.")
    if known.state is HoldState.SETTLED and known.asked != asked.asked:
        raise _differs()
    if known.state in (HoldState.LAPSED, HoldState.RELEASED):
        raise Conflict("hold_lapsed", "The tokens of this request went back to their owner.")
    return known


def _differs() -> HallmarkError:
    return Conflict("settle_differs", "This request was settled in another way.")


def _earn(transaction: Transaction, payee: bytes, earned: int, now: int) -> None:
    if not earned:
        return
    rows = transaction.fetch("SELECT amount FROM owed WHERE payee = ?", (payee,))
    if rows:
        total = str(int(rows[0][0]) + earned)
        transaction.execute("UPDATE owed SET amount = ? WHERE payee = ?", (total, payee))
    else:
        transaction.execute("INSERT INTO owed VALUES (?, ?, ?)", (payee, str(earned), now))


def _epochs(transaction: Transaction, where: str, values: Sequence[int]) -> list[KeptEpoch]:
    query = f"SELECT epoch, digest, document, secrets, entry, logged FROM epochs {where} ORDER BY epoch"  # noqa: S608 - constants of this module
    return [
        KeptEpoch(epoch, bytes(digest), bytes(document), bytes(secrets), bytes(entry), bool(logged))
        for epoch, digest, document, secrets, entry, logged in transaction.fetch(query, tuple(values))
    ]


def _purchase(transaction: Transaction, name: bytes) -> Purchase | None:
    query = "SELECT id, fingerprint, epoch, payer, amount, paid FROM purchases WHERE id = ?"
    for id_, fingerprint, epoch, payer, amount, paid in transaction.fetch(query, (name,)):
        return Purchase(bytes(id_), bytes(fingerprint), epoch, bytes(payer), int(amount), bool(paid))
    return None


def _hold(transaction: Transaction, request: bytes) -> Hold | None:
    query = (
        "SELECT request, spend, epoch, payee, key, reserved, until, state, charged, asked, change "
        "FROM holds WHERE request = ?"
    )
    rows: list[Row] = transaction.fetch(query, (request,))
    if not rows:
        return None
    _, spend, epoch, payee, key, reserved, until, state, charged, asked, change = rows[0]
    return Hold(
        request=request,
        spend=bytes(spend),
        epoch=epoch,
        payee=bytes(payee),
        key=bytes(key),
        reserved=int(reserved),
        until=until,
        state=HoldState(state),
        charged=int(charged),
        asked=bytes(asked),
        change=bytes(change),
    )
