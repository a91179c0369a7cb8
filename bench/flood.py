"""Answers and their proofs while strangers flood the log, beside the same network left in peace.

    python bench/flood.py --home DIR [--per-second 2000] [--seconds 10] [--rounds 2] [--json FILE]

Rounds of quiet and of each flood, interleaved, against a running network on this machine:

    unknown   verdicts in the name of keys that are not registered, 20 in a body
    forged    receipts in the name of a real node, signed by another key, 20 in a body
    single    `unknown`, each in a request of its own
    worked    registrations of strangers' nodes in requests of their own, with a proof of work (as many as
              `--worked` in a round), the rest without

A flood comes from the address `--source`; the network's own parties speak from 127.0.0.1. It is sent by a
process of its own, made before and bounded in count. Answers come at a steady rate; `answers/s` counts those
that ended well, `proof` is the time from an answer's last byte to a proof that was verified here. `logged`
is by how many entries the log grew beyond the answers' receipts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from cost import spent
from path import Way, proven, quantile

from hallmark.core.document import digest_of
from hallmark.core.documents import KeyBundle, RouteRecord
from hallmark.core.entries import Entry, Kind, decode, entry_id, split_leaf
from hallmark.core.hashing import ZERO32
from hallmark.core.objected import Run, digest_of_runs, encode_runs
from hallmark.core.receipt import Receipt
from hallmark.core.statements import Registration, Role, Verdict
from hallmark.crypto.secp256k1 import Key, sign_statement
from hallmark.http.client import Pool
from hallmark.ledger import proof_of_work
from hallmark.services.following.log_client import LogClient
from hallmark.services.log.admission import join_many
from hallmark.services.sdk.network import find
from hallmark.services.sdk.verifying import Verifier
from hallmark.testing.log_entries import receipt

FLOODS = ("unknown", "forged", "single", "worked")
IN_A_BODY = 20
CONNECTIONS = 16
QUESTION = "What does os.mkfifo do?"


class Made:
    """Junk that is well-formed: each entry another one."""

    def __init__(self, network: bytes, chain_id: int, node: bytes) -> None:
        self.network, self.chain_id, self.node = network, chain_id, node
        self.key = Key.generate()

    def signed(self, statement: Verdict | Receipt | Registration, *attached: bytes, by: int = 1) -> bytes:
        """An entry signed by the stranger's key."""
        signature = sign_statement(statement, self.chain_id, self.key)
        return Entry(statement, (signature,) * by, attached).encode()

    def unknown(self, number: int) -> bytes:
        """A verdict."""
        runs = encode_runs([Run(number, 1, "bad_signature")])
        verdict = Verdict(self.network, self.key.address, number, ZERO32, digest_of_runs(runs), number)
        return self.signed(verdict, runs)

    def forged(self, number: int) -> bytes:
        """A receipt in a node's name, far ahead of its others."""
        made = receipt(self.network, self.node, (1 << 40) + number, ZERO32)
        made = msgspec.structs.replace(made, route=digest_of(RouteRecord, b"r" * 60))
        return self.signed(made, b"r" * 60, b"", b"")

    def joining(self, number: int) -> bytes:
        """A registration without evidence."""
        document = digest_of(KeyBundle, b"%d" % number)
        statement = Registration(
            self.network, Role.NODE, self.key.address, self.key.address, document, ZERO32, 0, ZERO32, number
        )
        return self.signed(statement, b"%d" % number, b"", by=2)

    def requests(self, flood: str, count: int, worked: int) -> list[tuple[bytes, bytes]]:
        """Bodies to send, each with its work header or none."""
        if flood == "worked":
            found = []
            for number in range(count):
                entry = self.joining(number)
                nonce = proof_of_work.make(entry_id(entry), 16) if number < worked else b""
                found.append((entry, proof_of_work.header_of(nonce)[1] if nonce else b""))
            return found
        maker = self.forged if flood == "forged" else self.unknown
        entries = [maker(number) for number in range(count)]
        if flood == "single":
            return [(entry, b"") for entry in entries]
        return [(join_many(entries[at : at + IN_A_BODY]), b"") for at in range(0, count, IN_A_BODY)]


class Sender:
    """Sends requests to the log at a steady rate from one address, over kept connections."""

    def __init__(self, log: str, source: str, flood: str) -> None:
        place = urlsplit(log)
        self.host, self.port, self.source = place.hostname or "", place.port or 80, source
        many = flood in ("unknown", "forged")
        self.path = "/add-many" if many else "/add"
        self.said: Counter[str] = Counter()

    async def run(self, requests: list[tuple[bytes, bytes]], seconds: float) -> None:
        """Send them all, evenly, within `seconds`; what is late at the end is left out."""
        start, ahead = time.perf_counter() + 0.1, iter(range(len(requests)))

        async def one() -> None:
            reader = writer = None
            for number in ahead:
                due = start + number * seconds / len(requests)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                if time.perf_counter() > start + seconds:
                    self.said["late"] += 1
                    continue
                try:
                    if writer is None or reader is None:
                        reader, writer = await asyncio.open_connection(
                            self.host, self.port, local_addr=(self.source, 0)
                        )
                    await self.send(reader, writer, *requests[number])
                except (OSError, asyncio.IncompleteReadError, ValueError):
                    self.said["connection lost"] += 1
                    writer = None

        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))

    async def send(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes, nonce: bytes
    ) -> None:
        """One request and its answer."""
        head = f"POST {self.path} HTTP/1.1\r\nhost: {self.host}\r\ncontent-length: {len(body)}\r\n"
        extra = b"hallmark-work: %b\r\n" % nonce if nonce else b""
        writer.write(head.encode() + extra + b"\r\n" + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        data = await reader.readexactly(length)
        found = json.loads(data)
        for result in found.get("results", [found]):
            self.said[result["error"]["code"] if "error" in result else "logged"] += 1


class Bench:
    """A running network, asked."""

    def __init__(self, args: argparse.Namespace) -> None:
        place = find(args.gateway, args.trust, args.home)
        self.args = args
        self.home = str(Path(args.home).expanduser().absolute())
        settings = json.loads(Path(self.home, "services", "log", "settings.json").read_text())
        self.log_url = f"http://127.0.0.1:{settings['listen']['port']}"
        self.gateway = Way("path", place.base_url)
        self.verifier = Verifier.read(Path(place.trust or ""))
        self.pool = Pool()
        self.log = LogClient(self.pool, self.log_url)
        asked = {"model": args.model, "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
        self.body = json.dumps(asked).encode()

    async def answer(self, due: float, found: list[tuple[float, float]], failed: Counter[str]) -> None:
        """One answer and its proof: seconds to the last byte, and from there to the proof."""
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        try:
            timing, after = await proven(self.gateway, self.body, due, self.verifier)
            found.append((timing.total, after))
        except Exception as error:
            failed[str(error)[:80]] += 1

    async def round(self, flood: str, requests: list[tuple[bytes, bytes]]) -> dict[str, object]:
        """One round, with a flood or without."""
        args = self.args
        sender = await self.sender(flood, requests) if requests else None
        before, used, began = await self.log.head(), spent(self.home), time.perf_counter()
        found: list[tuple[float, float]] = []
        failed: Counter[str] = Counter()
        flooding = asyncio.create_task(sender.communicate(b"go\n")) if sender else None
        start = time.perf_counter() + 0.1
        count = int(args.rate * args.seconds)
        await asyncio.gather(*(self.answer(start + n / args.rate, found, failed) for n in range(count)))
        took = time.perf_counter() - start
        said = json.loads((await flooding)[0]) if flooding else {}
        after = await self.log.head()
        await self.log.wait(after.size, 30_000)
        whole = time.perf_counter() - began
        cost = {name: value - used[name] for name, value in spent(self.home).items()}
        return {
            "flood": flood,
            "answers": len(found),
            "failed": dict(failed),
            "answers_s": len(found) / took,
            "total": [total for total, _ in found],
            "proof": [proof for _, proof in found],
            "sent": said,
            "logged": after.size - before.size - len(found),
            "log_cpu": cost["log"] / whole / 1000,
        }

    async def sender(self, flood: str, requests: list[tuple[bytes, bytes]]) -> asyncio.subprocess.Process:
        """The sender as a process of its own, ready to go."""
        order = {
            "log": self.log_url,
            "source": self.args.source,
            "flood": flood,
            "seconds": self.args.seconds,
            "requests": [(body.hex(), nonce.decode()) for body, nonce in requests],
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--send", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        await process.stdout.readline()
        return process

    async def node(self) -> tuple[bytes, bytes, int]:
        """A real node's address, the network's id and chain id."""
        head = await self.log.head()
        for data in await self.log.leaves(0, min(head.size, 64)):
            entry = decode(split_leaf(data)[1])
            if entry.kind is Kind.REGISTRATION and entry.statement.role == Role.NODE:
                settings = json.loads(Path(self.home, "services", "log", "settings.json").read_text())
                return entry.statement.key, entry.statement.network, settings["chain_id"]
        raise SystemExit("The log has no node.")

    async def run(self) -> list[dict[str, object]]:
        """Every round."""
        args = self.args
        node, network, chain_id = await self.node()
        await asyncio.gather(*(self.gateway.ask(self.body, time.perf_counter()) for _ in range(4)))
        count = int(args.per_second * args.seconds)
        rounds = []
        for _ in range(args.rounds):
            for flood in ("quiet", *args.floods.split(",")):
                made = Made(network, chain_id, node)
                requests = made.requests(flood, 0 if flood == "quiet" else count, args.worked)
                await asyncio.sleep(1)
                rounds.append(await self.round(flood, requests))
                print(summary([rounds[-1]]), file=sys.stderr)
        await self.pool.aclose()
        await self.gateway.pool.aclose()
        return rounds


def summary(rounds: list[dict[str, object]]) -> str:
    """One line of the table."""

    def every(name: str) -> list[float]:
        return [value for one in rounds for value in one[name]]  # type: ignore[attr-defined]

    def mean(name: str) -> float:
        return statistics.mean(float(one[name]) for one in rounds)  # type: ignore[arg-type]

    said: Counter[str] = Counter()
    for one in rounds:
        said.update(one["sent"])  # type: ignore[call-overload]
    total, proof = every("total"), every("proof")
    words = ", ".join(f"{name} {count}" for name, count in said.most_common())
    failed = sum(sum(one["failed"].values()) for one in rounds)  # type: ignore[attr-defined]
    cells = (
        f"{len(total):>8}{failed:>7}{mean('answers_s'):>10.2f}{quantile(total, 0.5):>10.1f}"
        f"{quantile(total, 0.99):>10.1f}{quantile(proof, 0.5):>10.1f}{quantile(proof, 0.99):>10.1f}"
        if total
        else f"{0:>8}{failed:>7}" + " " * 50
    )
    return f"{rounds[0]['flood']:>8}{cells}{mean('log_cpu'):>8.0%}{mean('logged'):>8.0f}  {words}"


def show(rounds: list[dict[str, object]]) -> None:
    """The table: a line for quiet and for each flood."""
    print(
        f"{'':>8}{'answers':>8}{'failed':>7}{'answers/s':>10}{'total p50':>10}{'p99':>10}"
        f"{'proof p50':>10}{'p99':>10}{'log':>8}{'logged':>8}  what the log said (entries, all rounds)"
    )
    for flood in dict.fromkeys(str(one["flood"]) for one in rounds):
        print(summary([one for one in rounds if one["flood"] == flood]))


async def send() -> None:
    """Be the sender: an order on the standard input, what the log said on the standard output."""
    order = json.loads(await asyncio.to_thread(sys.stdin.readline))
    sender = Sender(order["log"], order["source"], order["flood"])
    requests = [(bytes.fromhex(body), nonce.encode()) for body, nonce in order["requests"]]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await sender.run(requests, order["seconds"])
    print(json.dumps(sender.said))


def main() -> None:
    """Read the arguments, measure, show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home")
    parser.add_argument("--gateway")
    parser.add_argument("--trust")
    parser.add_argument("--model", default="pydoc")
    parser.add_argument("--rate", type=float, default=5.0, help="answers per second")
    parser.add_argument("--per-second", type=int, default=2_000, help="submissions per second")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--floods", default=",".join(FLOODS))
    parser.add_argument("--worked", type=int, default=100, help="registrations with a proof of work")
    parser.add_argument("--source", default="127.0.0.2", help="the strangers' address")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--send", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.send:
        asyncio.run(send())
        return
    rounds = asyncio.run(Bench(args).run())
    show(rounds)
    if args.json:
        machine = {"cpus": os.cpu_count(), "python": sys.version.split()[0], "load": os.getloadavg()[0]}
        args.json.write_bytes(
            msgspec.json.format(msgspec.json.encode({"machine": machine, "rounds": rounds}), indent=1) + b"\n"
        )


if __name__ == "__main__":
    main()
