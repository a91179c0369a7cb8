"""Measure a full node's checks and the offline verification of a saved receipt.

    python bench/verification.py [--receipts 4000] [--rounds 200] [--json FILE]

One thread. `cpu` is this thread's own time, which a busy machine disturbs less than the clock; each row gives
the best and the median of several runs. Beside the checks stands what the two signature recoveries of one
receipt (node and gateway) cost alone in the same run, because nothing can be faster than that.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from hallmark.attestation import verify
from hallmark.core.entries import Entry
from hallmark.crypto.secp256k1 import recover
from hallmark.ledger.policy import Policy, verify_quorum
from hallmark.testing.development import DevelopmentNetwork
from hallmark.testing.dossiers import Notary, proof_verifier
from hallmark.testing.network import LittleNetwork
from hallmark.verification.dossier import Dossier
from hallmark.verification.offline import verify_dossier

RUNS = 5


def main() -> None:
    """Measure, print two tables, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--receipts", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rates = [*receipt_rates(options.receipts), recovery_rate(options.receipts)]
    print(f"{'full node, one core':58} {'best cpu/s':>10} {'median cpu/s':>12} {'median clock/s':>14}")
    for row in rates:
        print(
            f"{row['what']:58} {row['best_cpu']:10.0f} {row['median_cpu']:12.0f} {row['median_clock']:14.0f}"
        )
    times = offline_times(options.rounds)
    print(f"\n{'offline, one saved receipt':58} {'cpu p50 ms':>10} {'cpu p99 ms':>12} {'clock p50 ms':>14}")
    for row in times:
        print(f"{row['what']:58} {row['cpu_p50']:10.3f} {row['cpu_p99']:12.3f} {row['clock_p50']:14.3f}")
    if options.json:
        found = {"python": platform.python_version(), "receipts_per_second": rates, "offline_ms": times}
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def receipt_rates(count: int) -> list[dict[str, float | str]]:
    """Receipts per second through `Replica.feed`: a ticket each, one ticket for all, and direct."""
    return [
        rate("Replica.feed, a fresh route ticket for each receipt", lambda: feeding(count, "fresh"), count),
        rate("Replica.feed, one route ticket for all receipts", lambda: feeding(count, "shared"), count),
        rate("Replica.feed, direct requests without a ticket", lambda: feeding(count, "direct"), count),
    ]


def feeding(count: int, tickets: str) -> Callable[[], object]:
    """A run that judges `count` receipts; they are made before the clock starts."""
    net = LittleNetwork()
    entries: list[Entry] = []
    if tickets == "shared":
        made = net.answers.ticket(net.answers.candidates(net.nodes[0]))
        net.answers.ticket = lambda *_args, **_changes: made  # type: ignore[method-assign]
        chosen = net.answers.candidates(net.nodes[0])
        net.answers.candidates = lambda _node: chosen  # type: ignore[method-assign]
    for number in range(count):
        entries.append(net.receipt_entry(net.nodes[number % 2], direct=tickets == "direct"))
    replica = net.replica()
    places = [net.add(entry) for entry in entries]

    def run() -> object:
        for index in places:
            replica.feed(index, net.leaves[index])
        assert not replica.judgements.failed
        return replica

    return run


def recovery_rate(count: int) -> dict[str, float | str]:
    """Two signature recoveries a receipt, and nothing else."""
    net = LittleNetwork()
    entry = net.receipt_entry(net.nodes[0])
    digest = entry.statement.signing_digest(net.genesis.chain_id)

    def prepare() -> Callable[[], object]:
        def run() -> object:
            for _ in range(count):
                recover.__wrapped__(digest, entry.signatures[0])  # never the remembered one
                recover.__wrapped__(digest, entry.signatures[0])
            return None

        return run

    return rate("two signature recoveries alone, for comparison", prepare, count)


def rate(what: str, prepare: Callable[[], Callable[[], object]], count: int) -> dict[str, float | str]:
    """Runs of `count` things each, as things per second of CPU and of clock."""
    cpu, clock = [], []
    for _ in range(RUNS):
        run = prepare()
        before, started = time.thread_time(), time.perf_counter()
        run()
        cpu.append(count / (time.thread_time() - before))
        clock.append(count / (time.perf_counter() - started))
    return {
        "what": what,
        "best_cpu": max(cpu),
        "median_cpu": statistics.median(cpu),
        "median_clock": statistics.median(clock),
    }


def offline_times(rounds: int) -> list[dict[str, float | str]]:
    """A whole saved receipt with evidence of the emulated module, and its parts.

    Its three proofs share one checkpoint, which is verified once in each round; the evidence's certificate
    authorities are known from the rounds before, as they are in a process that verifies more than one
    receipt. No signature of the receipt is remembered.
    """
    net = DevelopmentNetwork()
    for number in range(64):
        answer = net.answer(net.nodes[number % 2])
        index = net.add(answer.entry)
    notary = Notary(net)
    trust, dossier = net.trust(notary), notary.dossier(answer, index)
    data = dossier.encode()
    parsed = Dossier.parse(data)
    note, policy = notary.cosigned(), Policy.parse(trust.tlog_policy)

    def whole() -> object:
        recover.cache_clear()
        verified = verify_dossier(
            Dossier.parse(data), trust, net.now, verify_evidence=verify, verify_proof=proof_verifier(trust)
        )
        return verified.decide("witnessed")

    def unproven() -> object:
        recover.cache_clear()
        return verify_dossier(parsed, trust, net.now, verify_evidence=verify)

    return [
        timed("parse, verify everything, decide (three proofs, evidence)", whole, rounds),
        timed("without log proofs", unproven, rounds),
        timed("one quorum of four cosignatures alone", lambda: verify_quorum(policy, note), rounds),
    ]


def timed(what: str, run: Callable[[], object], rounds: int) -> dict[str, float | str]:
    """Milliseconds of CPU and of clock over `rounds`, after three to warm up."""
    for _ in range(3):
        run()
    cpu, clock = [], []
    for _ in range(rounds):
        before, started = time.thread_time(), time.perf_counter()
        run()
        cpu.append((time.thread_time() - before) * 1e3)
        clock.append((time.perf_counter() - started) * 1e3)
    return {
        "what": what,
        "cpu_p50": statistics.median(cpu),
        "cpu_p99": statistics.quantiles(cpu, n=100)[98],
        "clock_p50": statistics.median(clock),
    }


if __name__ == "__main__":
    main()
