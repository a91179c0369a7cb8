"""A campaign of seeded kill runs on one network: run, recover, look for every receipt, audit the log."""

from __future__ import annotations

import asyncio
import collections
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable

import httpx
import msgspec

from hallmark.compose.home import Home
from hallmark.compose.plan import Plan, load_plan
from hallmark.compose.running import statuses
from hallmark.services.sdk.verifying import Verifier
from hallmark.testing.chaos import Run, ask_all, pid_of, run_once, sealed_way
from hallmark.testing.chaos_audit import Audit, audit, read_leaves, witnessed
from hallmark.testing.chaos_money import Purse, filled
from hallmark.testing.real_network import Network, logs

RECOVERY_S = 90.0
WITNESS_S = 60.0
SETTLED_S = 30.0


class Row(msgspec.Struct, frozen=True):
    """One run in the table: outcomes by kind, seconds to the last proof and to full recovery, problems."""

    seed: int
    killed: tuple[str, ...]
    answered: int
    refused: int
    broken: int
    codes: tuple[str, ...]
    witnessed_s: float
    recovered_s: float
    problems: tuple[str, ...]


class Report(msgspec.Struct, frozen=True):
    """A whole campaign."""

    rows: tuple[Row, ...]
    audit: Audit
    money: str = ""
    money_problems: tuple[str, ...] = ()

    @property
    def problems(self) -> list[str]:
        """Every promise that was not kept, with its seed."""
        told = [f"seed {row.seed}: {p}" for row in self.rows for p in row.problems]
        return [*told, *self.audit.problems, *self.money_problems]

    def table(self) -> str:
        """Counts by victim and by reason code, times, and what the audit found."""
        victims = collections.Counter(victim for row in self.rows for victim in row.killed)
        codes = collections.Counter(code for row in self.rows for code in row.codes)
        rows, found = self.rows, self.audit
        lines = [
            f"runs {len(rows)}, kills {victims.total()}: " + _counted(victims),
            f"clients {sum(r.answered + r.refused + r.broken for r in rows)}: "
            f"answered {sum(r.answered for r in rows)}, refused {sum(r.refused for r in rows)}, "
            f"broken {sum(r.broken for r in rows)}",
            "codes: " + (_counted(codes) or "none"),
            f"answer to proof, worst: {max((r.witnessed_s for r in rows), default=0):.2f} s; "
            f"to full recovery, worst: {max((r.recovered_s for r in rows), default=0):.1f} s",
            f"log: {found.leaves} leaves, {found.receipts} receipts, {found.roots} roots compared, "
            f"{found.objections} objections",
            *([self.money] if self.money else []),
            f"problems: {len(self.problems)}",
            *self.problems,
        ]
        return "\n".join(lines)


async def campaign(
    network: Network, seeds: Iterable[int], say: Callable[[str], None] = print, *, pays: bool = False
) -> Report:
    """Run every seed on a running network, then audit its log. The report names whatever did not hold. Who
    `pays` for everything has the money audited, too.
    """
    home = Home(network.home)
    plan = load_plan(home)
    rows, seen = [], set[str]()
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        purse = await _purse(home, client, _gateway(plan)) if pays else None
        for seed in seeds:
            row = await _one(network, plan, client, seed=seed, seen=seen, purse=purse)
            rows.append(row)
            say(
                f"seed {row.seed:4d}  {row.answered} answered {row.refused} refused {row.broken} broken  "
                f"proof {row.witnessed_s:5.2f} s  back {row.recovered_s:5.1f} s  "
                f"{', '.join(row.killed):<32} {' '.join(row.codes)} {' | '.join(row.problems)}".rstrip()
            )
        found = await _audited(network, plan, client)
        if purse is None:
            return Report(tuple(rows), found)
        await purse.come_again(client, _gateway(plan))
        return Report(tuple(rows), found, *await purse.audit(lambda: read_leaves(client, _log(plan))))


async def _purse(home: Home, client: httpx.AsyncClient, base: str) -> Purse:
    """A payer whose deposit no kill takes away. A chain does not forget a deposit; the development chain does
    when anvil is killed before its state is on disk, and reads the copy of its last start where the state was
    half written. So anvil is ended once by a signal that makes it write, and has both afterwards.
    """
    purse = await filled(home.path, client, base)
    pid = pid_of(home, "anvil")
    os.kill(pid, signal.SIGTERM)
    async with asyncio.timeout(RECOVERY_S):
        while pid_of(home, "anvil") in (0, pid) or not await purse.is_known():  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.1)
    return purse


async def _one(
    network: Network,
    plan: Plan,
    client: httpx.AsyncClient,
    *,
    seed: int,
    seen: set[str],
    purse: Purse | None,
) -> Row:
    verifier = Verifier.read(network.trust)
    run = await run_once(Home(network.home), _gateway(plan), seed, verifier, purse)
    problems = [f"{o.kind} {o.code}: {o.wrong}" for o in run.outcomes if o.wrong]
    dossiers = [o.dossier for o in run.outcomes if o.dossier is not None]
    ids = [dossier.id for dossier in dossiers]
    problems += ["one receipt for two answers"] if len({*ids} - seen) != len(ids) else []
    seen.update(ids)
    way = sealed_way(Home(network.home), verifier)
    finding = [
        asyncio.create_task(
            asyncio.wait_for(
                witnessed(client, _log(plan), o.dossier, verifier, way if o.sealed else None),
                WITNESS_S + RECOVERY_S,
            )
        )
        for o in run.outcomes
        if o.dossier is not None
    ]
    began = time.monotonic()
    problems += await _recover(network, run, lambda: ask_all(_gateway(plan), verifier, purse))
    recovered = time.monotonic() - began
    found = await asyncio.gather(*finding, return_exceptions=True)
    await way.aclose()
    problems += [
        f"receipt {i} is not witnessed: {f!r}"
        for i, f in zip(ids, found, strict=True)
        if isinstance(f, BaseException)
    ]
    kinds = collections.Counter(outcome.kind for outcome in run.outcomes)
    return Row(
        seed,
        tuple(kill.victim for kill in run.kills),
        kinds["answered"],
        kinds["refused"],
        kinds["broken"],
        tuple(sorted(outcome.code for outcome in run.outcomes if outcome.kind != "answered")),
        max((f for f in found if isinstance(f, float)), default=0.0),
        recovered,
        tuple(problems),
    )


async def _recover(network: Network, run: Run, ask: Callable[[], Awaitable[None]]) -> list[str]:
    """Wait until every service is ready; start the network again when its supervisor died. A gateway that saw
    nothing but failures of a model says so until somebody has an answer: somebody asks.
    """
    home, problems = Home(network.home), list[str]()
    deadline = time.monotonic() + RECOVERY_S
    if run.supervisor_died:
        done = await asyncio.to_thread(network.run, "up", "--detach", "--no-ask")
        if done.returncode != 0:
            problems.append(f"up after a killed supervisor: {done.stderr.strip()}")
    while True:
        states = await statuses(home)
        waiting = {name: status for name, status in states.items() if status.state != "ready"}
        if states and not waiting:
            return problems
        if {status.reason for status in waiting.values()} == {"answers_failing"}:
            await ask()
        if time.monotonic() > deadline:
            return [*problems, f"not ready again: {waiting}\n{logs(network.home)}"]
        await asyncio.sleep(0.1)


async def _audited(network: Network, plan: Plan, client: httpx.AsyncClient) -> Audit:
    """The audit, once the full nodes have had time to follow the last leaves."""
    stores = [
        network.home / "services" / f"fullnode-{n + 1}" / "store.db" for n in range(len(plan.full_nodes))
    ]
    mirrors = [f"http://127.0.0.1:{port}" for port in plan.full_nodes]
    deadline = time.monotonic() + SETTLED_S
    while True:
        found = await audit(client, _log(plan), stores, mirrors)
        if not found.problems or time.monotonic() > deadline:
            return found
        await asyncio.sleep(1.0)


def _gateway(plan: Plan) -> str:
    return f"http://127.0.0.1:{plan.gateway_port}"


def _log(plan: Plan) -> str:
    return f"http://127.0.0.1:{plan.log_port}"


def _counted(counter: collections.Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())
