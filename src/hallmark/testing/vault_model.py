"""What the vault contract should do, said a second time: the oracle of its tests.

The contract keeps running balances; here only what happened is kept (deposited, withdrawn, allowances,
spent), and every balance is derived from that. Each action returns the name of the error with which it is
refused, or nothing.
"""

from __future__ import annotations

import msgspec

from hallmark.services.chain.vault import Account, CeilingInForce, Delays, OpenLease


class Payer(msgspec.Struct):
    """What a payer did."""

    deposited: int = 0
    withdrawn: int = 0
    requested: int = 0
    ready_at: int = 0


class Grant(msgspec.Struct):
    """A lease by (enclave, payer)."""

    allowance: int = 0
    spent: int = 0
    until: int = 0


class Signed(msgspec.Struct):
    """The ceiling in force by (payer, payee), and the highest that ever was."""

    most: int = 0
    nonce: int = 0
    until: int = 0
    highest: int = 0


class Key(msgspec.Struct):
    """An enclave's key."""

    payee: str
    until: int
    sequence: int = 0
    revoked: bool = False


class VaultModel:
    """A vault whose parties have names."""

    def __init__(self, delays: Delays) -> None:
        self.delays = delays
        self.payers: dict[str, Payer] = {}
        self.grants: dict[tuple[str, str], Grant] = {}
        self.ceilings: dict[tuple[str, str], Signed] = {}
        self.keys: dict[str, Key] = {}
        self.collected: dict[str, int] = {}
        self.paused = False

    def deposit(self, payer: str, amount: int) -> str:
        """Someone puts money into a payer's account."""
        if self.paused:
            return "EnforcedPause"
        if amount == 0:
            return "NothingToDo"
        self.payers.setdefault(payer, Payer()).deposited += amount
        return ""

    def sign_ceiling(self, payer: str, payee: str, most: int, nonce: int, until: int) -> str:
        """A payer's ceiling arrives."""
        kept = self.ceilings.setdefault((payer, payee), Signed())
        if nonce <= kept.nonce:
            return "StaleNonce"
        kept.most, kept.nonce, kept.until, kept.highest = most, nonce, until, max(most, kept.highest)
        return ""

    def lease(self, enclave: str, sequence: int, until: int, rows: list[tuple[str, int]], now: int) -> str:
        """An enclave takes leases; rows that an account does not allow are skipped."""
        if enclave not in self.keys or now > self.keys[enclave].until:
            return "EnclaveNotRegistered"
        if not now < until <= now + self.delays.lease:
            return "BadTerm"
        refused = self._stale(enclave, sequence)
        if refused:
            return refused
        if any(amount < self._grant(enclave, payer).allowance for payer, amount in rows):
            return "LeaseShrinks"
        for payer, amount in rows:
            grant = self._grant(enclave, payer)
            more = amount - grant.allowance
            ceiling = self.ceilings.get((payer, self.keys[enclave].payee), Signed())
            committed = self._committed(payer, self.keys[enclave].payee)
            spare = self._free(payer) - self.payers[payer].requested if payer in self.payers else 0
            if more <= spare and committed + more <= ceiling.most and until <= ceiling.until:
                self.grants[enclave, payer] = Grant(amount, grant.spent, max(grant.until, until))
        self.keys[enclave].sequence = sequence
        return ""

    def settle(
        self, enclave: str, sequence: int, rows: list[tuple[str, int]], now: int, *, closing: bool
    ) -> str:
        """An enclave charges accounts; rows whose lease has ended are skipped."""
        if enclave not in self.keys:
            return "EnclaveNotRegistered"
        refused = self._stale(enclave, sequence)
        if refused:
            return refused
        changed: dict[str, Grant] = {}
        for payer, amount in rows:
            grant = changed.get(payer, self._grant(enclave, payer))
            if grant.until == 0 or now > grant.until + self.delays.settlement:
                continue
            if not grant.spent <= amount <= grant.allowance:
                return "RowGoesBack" if amount < grant.spent else "RowAboveLease"
            after = Grant(grant.allowance, amount, grant.until)
            changed[payer] = Grant(amount, amount, 0) if closing else after
        self.grants |= {(enclave, payer): grant for payer, grant in changed.items()}
        self.keys[enclave].sequence = sequence
        return ""

    def release(self, enclave: str, payer: str, now: int) -> str:
        """Anyone gives back a lease that can no longer be settled."""
        grant = self._grant(enclave, payer)
        ended = now > grant.until + self.delays.settlement or self.keys[enclave].revoked
        if grant.until == 0 or not ended:
            return "LeaseNotEnded"
        self.grants[enclave, payer] = Grant(grant.spent, grant.spent, 0)
        return ""

    def request(self, payer: str, amount: int, now: int) -> str:
        """A payer asks for money back."""
        kept = self.payers.setdefault(payer, Payer())
        kept.requested = amount
        kept.ready_at = now + self.delays.withdrawal if amount else 0
        return ""

    def finalize(self, payer: str, now: int) -> tuple[str, int]:
        """Anyone pays out a withdrawal; the second value is how much."""
        kept = self.payers.get(payer, Payer())
        if kept.ready_at == 0 or now < kept.ready_at:
            return "NotReady", 0
        paid = min(kept.requested, self._free(payer))
        kept.withdrawn += paid
        kept.requested = kept.requested - paid if self._open(payer) else 0
        kept.ready_at = kept.ready_at if kept.requested else 0
        return "", paid

    def collect(self, payee: str) -> tuple[str, int]:
        """Anyone pays out what a payee earned; the second value is how much."""
        amount = self.earned(payee)
        self.collected[payee] = self.collected.get(payee, 0) + amount
        return ("", amount) if amount else ("NothingToDo", 0)

    def revoke(self, enclave: str) -> str:
        """The authority takes out a key."""
        if self.keys[enclave].revoked:
            return "EnclaveIsRevoked"
        self.keys[enclave].revoked = True
        return ""

    def earned(self, payee: str) -> int:
        """What a payee may collect."""
        spent = sum(g.spent for (enclave, _), g in self.grants.items() if self.keys[enclave].payee == payee)
        return spent - self.collected.get(payee, 0)

    def charged(self, payer: str, payee: str) -> int:
        """All that was ever charged to a payer for a payee."""
        return sum(
            grant.spent
            for (enclave, of), grant in self.grants.items()
            if of == payer and self.keys[enclave].payee == payee
        )

    def held(self) -> int:
        """What the vault's token balance must be."""
        deposits = sum(payer.deposited - payer.withdrawn for payer in self.payers.values())
        return deposits - sum(self.collected.values())

    def account(self, payer: str) -> Account:
        """The account as the contract should show it."""
        kept = self.payers.get(payer, Payer())
        return Account(self._free(payer), kept.requested, self._open(payer), kept.ready_at)

    def ceiling(self, payer: str, payee: str) -> CeilingInForce:
        """The ceiling as the contract should show it."""
        kept = self.ceilings.get((payer, payee), Signed())
        return CeilingInForce(kept.most, self._committed(payer, payee), kept.nonce, kept.until)

    def lease_of(self, enclave: str, payer: str) -> OpenLease:
        """The lease as the contract should show it."""
        grant = self._grant(enclave, payer)
        return OpenLease(grant.allowance, grant.spent, grant.until)

    def _grant(self, enclave: str, payer: str) -> Grant:
        return self.grants.get((enclave, payer), Grant())

    def _stale(self, enclave: str, sequence: int) -> str:
        if self.keys[enclave].revoked:
            return "EnclaveIsRevoked"
        return "StaleSequence" if sequence <= self.keys[enclave].sequence else ""

    def _free(self, payer: str) -> int:
        kept = self.payers.get(payer, Payer())
        leased = sum(grant.allowance for (_, of), grant in self.grants.items() if of == payer)
        return kept.deposited - kept.withdrawn - leased

    def _committed(self, payer: str, payee: str) -> int:
        return sum(
            grant.allowance
            for (enclave, of), grant in self.grants.items()
            if of == payer and self.keys[enclave].payee == payee
        )

    def _open(self, payer: str) -> int:
        return sum(grant.until != 0 for (_, of), grant in self.grants.items() if of == payer)
