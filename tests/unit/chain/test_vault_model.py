"""The vault's rules themselves, as the model says them: what follows from them in any order of actions."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hallmark.services.chain.vault import EVERYTHING, Delays
from hallmark.testing.vault_model import Key, VaultModel

DELAYS = Delays(lease=300, settlement=300, withdrawal=900)
PAYEES = {"one": "north", "two": "north", "three": "south"}
PAYERS = st.sampled_from(("anna", "ben"))
ENCLAVES = st.sampled_from(tuple(PAYEES))
NORTH_SOUTH = st.sampled_from(("north", "south"))
AMOUNTS = st.integers(0, 1000)


class Rules(RuleBasedStateMachine):
    """Any order of everything that anybody may do, with time going on."""

    def __init__(self) -> None:
        super().__init__()
        self.model = VaultModel(DELAYS)
        self.model.keys = {name: Key(payee, 2**32) for name, payee in PAYEES.items()}
        self.now = 1000
        self.requested: dict[str, int] = {}

    @rule(seconds=st.sampled_from((1, 60, 301, 601, 901)))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(payer=PAYERS, amount=AMOUNTS)
    def deposit(self, payer: str, amount: int) -> None:
        self.model.deposit(payer, amount)

    @rule(payer=PAYERS, payee=NORTH_SOUTH, most=AMOUNTS, longer=st.sampled_from((100, 10**6)))
    def ceiling(self, payer: str, payee: str, most: int, longer: int) -> None:
        kept = self.model.ceilings.get((payer, payee))
        self.model.sign_ceiling(payer, payee, most, kept.nonce + 1 if kept else 1, self.now + longer)

    @rule(enclave=ENCLAVES, payer=PAYERS, more=AMOUNTS, term=st.integers(1, 300))
    def lease(self, enclave: str, payer: str, more: int, term: int) -> None:
        rows = [(payer, self.model.lease_of(enclave, payer).allowance + more)]
        self.model.lease(enclave, self._next(enclave), self.now + term, rows, self.now)

    @rule(enclave=ENCLAVES, payer=PAYERS, share=st.floats(0, 1), closing=st.booleans())
    def settle(self, enclave: str, payer: str, share: float, closing: bool) -> None:
        lease = self.model.lease_of(enclave, payer)
        amount = lease.spent + int((lease.allowance - lease.spent) * share)
        rows = [(payer, amount)]
        assert self.model.settle(enclave, self._next(enclave), rows, self.now, closing=closing) in (
            "",
            "EnclaveIsRevoked",
        )

    @rule(enclave=ENCLAVES, payer=PAYERS)
    def release(self, enclave: str, payer: str) -> None:
        self.model.release(enclave, payer, self.now)

    @rule(payer=PAYERS, amount=st.sampled_from((0, 10, 500, EVERYTHING)))
    def request(self, payer: str, amount: int) -> None:
        self.model.request(payer, amount, self.now)

    @rule(payer=PAYERS)
    def finalize(self, payer: str) -> None:
        self.model.finalize(payer, self.now)

    @rule(payee=NORTH_SOUTH)
    def collect(self, payee: str) -> None:
        self.model.collect(payee)

    @precondition(lambda self: not self.model.keys["three"].revoked)
    @rule()
    def revoke(self) -> None:
        self.model.revoke("three")

    @rule(payer=PAYERS, nudges=st.lists(st.tuples(ENCLAVES, AMOUNTS, st.integers(1, 899)), max_size=6))
    def leaves(self, payer: str, nudges: list[tuple[str, int, int]]) -> None:
        """A payer asks for everything; whatever enclaves try meanwhile, after the delay all is paid out."""
        if self.model.request(payer, EVERYTHING, self.now):
            return
        ready = self.now + DELAYS.withdrawal
        for enclave, more, after in sorted(nudges, key=lambda nudge: nudge[2]):
            lease = self.model.lease_of(enclave, payer)
            now = self.now + after
            rows = [(payer, lease.allowance + more)]
            self.model.lease(enclave, self._next(enclave), now + DELAYS.lease, rows, now)
            assert self.model.lease_of(enclave, payer).until <= self.now + DELAYS.lease
        self.now = ready
        for enclave in PAYEES:
            if self.model.lease_of(enclave, payer).until:
                assert self.model.release(enclave, payer, self.now) == ""
        charged = sum(self.model.charged(payer, payee) for payee in ("north", "south"))
        assert self.model.finalize(payer, self.now)[0] == ""
        assert self.model.payers[payer].deposited == self.model.payers[payer].withdrawn + charged
        assert self.model.account(payer).ready_at == 0

    @invariant()
    def nothing_is_overdrawn(self) -> None:
        assert self.model.held() >= 0
        for payer in self.model.payers:
            assert self.model.account(payer).free >= 0
            for payee in ("north", "south"):
                signed = self.model.ceilings.get((payer, payee))
                assert self.model.charged(payer, payee) <= (signed.highest if signed else 0)

    def _next(self, enclave: str) -> int:
        return self.model.keys[enclave].sequence + 1


class TestRules(Rules.TestCase):
    """Hypothesis looks for an order of actions that breaks a rule."""

    settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
