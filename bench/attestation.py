"""Measure verification of evidence: cold, and with the certificate authorities already known.

    python bench/attestation.py [--rounds 200] [--json FILE]

Reads recorded evidence from HALLMARK_VECTORS (default ../shared/vectors); what is absent there is left out
of the table and said so. Times are of one thread, in milliseconds, after three
rounds of warming up; `cpu` is the thread's own time, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import calendar
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cbor2

from hallmark.attestation import AWS_NITRO_ROOT, INTEL_SGX_ROOT, certificates, verify
from hallmark.attestation.attester import NSMAttester
from hallmark.attestation.emulator import DevelopmentRoot, SecurityModule, pcr_of
from hallmark.core.documents import AttestationPolicy, Measurement
from hallmark.core.evidence import Evidence, Expectation, Verdict

TDX_TIME = calendar.timegm((2025, 6, 24, 0, 0, 0)) * 1000
NOW = 1_770_000_000_000
Row = tuple[str, Callable[[], None], Callable[[], object]]


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    vectors = Path(
        os.environ.get("HALLMARK_VECTORS", Path(__file__).parents[1].parent / "shared" / "vectors")
    )
    results = [measure(row, options.rounds) for row in rows(vectors)]
    print(f"{'what':46} {'p50 ms':>8} {'p99 ms':>8} {'cpu p50':>8} {'per s':>7}")
    for result in results:
        print(
            f"{result['what']:46} {result['p50_ms']:8.3f} {result['p99_ms']:8.3f} "
            f"{result['cpu_p50_ms']:8.3f} {result['per_second']:7.0f}"
        )
    if not (vectors / "nitro").is_dir():
        print(f"no recorded evidence at {vectors}: AWS and Intel rows are left out")
    if options.json:
        found = {"rounds": options.rounds, "python": platform.python_version(), "results": results}
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def rows(vectors: Path) -> Iterator[Row]:
    """What is measured: name, what to do before each round (not timed), and the round."""
    if (vectors / "nitro").is_dir():
        judge = nitro(vectors / "nitro" / "og_evm.bin")
        yield "Nitro document, nothing cached", certificates.authorities.cache_clear, judge
        yield "Nitro document, authorities cached", lambda: None, judge
    attest, judge = development()
    yield "development document, nothing cached", certificates.authorities.cache_clear, judge
    yield "development document, authorities cached", lambda: None, judge
    yield "emulated module, one document made", lambda: None, attest
    if (vectors / "tdx").is_dir():
        yield "TDX quote with collateral", lambda: None, tdx(vectors / "tdx")


def measure(row: Row, rounds: int) -> dict[str, float | str]:
    """Time `rounds` rounds after three warm ones."""
    name, prepare, round_ = row
    times, work = [], []
    for turn in range(rounds + 3):
        prepare()
        begin, begin_cpu = time.perf_counter(), time.thread_time()
        round_()
        if turn >= 3:
            work.append((time.thread_time() - begin_cpu) * 1000)
            times.append((time.perf_counter() - begin) * 1000)
    times.sort()
    median = statistics.median(times)
    return {
        "what": name,
        "p50_ms": round(median, 3),
        "p99_ms": round(times[min(len(times) - 1, int(len(times) * 0.99))], 3),
        "cpu_p50_ms": round(statistics.median(work), 3),
        "per_second": round(1000 / median, 1),
    }


def policy(kind: str, root: bytes, max_age: int) -> AttestationPolicy:
    """A policy for one kind and root."""
    return AttestationPolicy("bench", 1, (kind,), {kind: ("0x" + root.hex(),)}, max_age, 60_000)


def accepted(kind: str, registers: dict[str, str]) -> tuple[Measurement, ...]:
    """One accepted measurement."""
    return (Measurement("bench", "1", kind, {k: "0x" + v for k, v in registers.items()}, ""),)


def sound(verdict: Verdict) -> Verdict:
    """The verdict, which must be ok: a benchmark of refusals would measure nothing."""
    if not verdict.ok:
        raise SystemExit(f"the evidence to measure is refused: {verdict.reason}")
    return verdict


def nitro(path: Path) -> Callable[[], Verdict]:
    """Judge a recorded AWS document at its own time, with its own binding."""
    data = path.read_bytes()
    payload = cbor2.loads(cbor2.loads(data)[2])
    measurements = accepted("nitro", {"PCR0": payload["pcrs"][0].hex()})
    expect = Expectation(payload["user_data"], payload["nonce"])
    rules = policy("nitro", AWS_NITRO_ROOT, 600_000)
    evidence, at = Evidence("nitro", data), payload["timestamp"]
    return lambda: sound(verify(evidence, rules, at, measurements=measurements, expect=expect))


def development() -> tuple[Callable[[], Evidence], Callable[[], Verdict]]:
    """Make documents by the emulated module, and judge one."""
    root = DevelopmentRoot.create(NOW)
    module = SecurityModule(root, {0: pcr_of(b"image")})
    attester = NSMAttester(module.transport(lambda: NOW), "nitro-dev")
    evidence = attester.attest(bytes(64), bytes(32))
    measurements = accepted("nitro-dev", {"PCR0": pcr_of(b"image").hex()})
    rules, expect = policy("nitro-dev", root.digest(), 600_000), Expectation(bytes(64), bytes(32))

    def judge() -> Verdict:
        return sound(verify(evidence, rules, NOW, measurements=measurements, expect=expect))

    return lambda: attester.attest(bytes(64), bytes(32)), judge


def tdx(folder: Path) -> Callable[[], Verdict]:
    """Judge the recorded quote at its time."""
    collateral = (folder / "tdx_quote_collateral.json").read_bytes()
    evidence = Evidence("tdx", (folder / "tdx_quote").read_bytes(), collateral)
    rules = policy("tdx", INTEL_SGX_ROOT, 0)
    found = verify(evidence, rules, TDX_TIME, measurements=(), expect=Expectation()).registers
    measurements = accepted("tdx", {name: found[name] for name in ("MRTD", "RTMR0", "RTMR1", "RTMR2")})
    return lambda: sound(verify(evidence, rules, TDX_TIME, measurements=measurements, expect=Expectation()))


if __name__ == "__main__":
    main()
