"""Words planted in a sealed question are found nowhere but in the enclave and the client that asked."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hallmark import AsyncClient
from hallmark.testing.memory_search import Wire, descendants, in_files, in_memory, runs, written_files
from hallmark.testing.ports import free_port
from hallmark.testing.processes import patiently
from hallmark.testing.real_network import Network

pytestmark = pytest.mark.integration

ENCLAVE = b"/app/enclave.py"


class Pipe:
    """A TCP pipe that keeps every byte: between a client and the relay."""

    def __init__(self, to: int) -> None:
        self.port, self._to = free_port(), to
        self.kept = bytearray()
        self._door = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            near, _ = self._door.accept()
            far = socket.create_connection(("127.0.0.1", self._to))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        while data := one.recv(65_536):
            self.kept += data
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


def processes_of(network: Network) -> dict[str, list[int]]:
    """Every process of the network now: those of each service, and the enclaves' among them apart."""
    status = network.status()
    found = {name: descendants(service["pid"]) for name, service in status.items() if service.get("pid")}
    everybody = {pid for pids in found.values() for pid in pids}
    enclaves = [pid for pid in everybody if runs(pid, ENCLAVE)]
    assert enclaves
    return {name: [pid for pid in pids if pid not in enclaves] for name, pids in found.items()} | {
        "enclaves": enclaves
    }


@pytest.fixture
def words() -> list[bytes]:
    """Three words that nobody has said before."""
    return [f"q{secrets.token_hex(9)}z".encode() for _ in range(3)]


def prompt(words: list[bytes]) -> str:
    """A question with the words in it."""
    return f"What does os.mkfifo do? {' '.join(word.decode() for word in words)}"


def having(processes: dict[str, list[int]], words: list[bytes]) -> dict[str, set[bytes]]:
    """Services of which a process has any of the words in its memory."""
    found: dict[str, set[bytes]] = {}
    for name, pids in processes.items():
        for pid in pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended, with its memory
                here = in_memory(pid, words)
                if here:
                    found[name] = found.get(name, set()) | here
    return found


def metrics(network: Network) -> Iterator[str]:
    """What every service says of itself in figures and state."""
    for service in network.status().values():
        url = service.get("url") or ""
        for path in ("/metrics", "/healthz"):
            if url.startswith("http"):
                yield httpx.get(url + path, timeout=5, verify=False).text


@pytest.mark.skipif(os.geteuid() != 0, reason="other processes' memory is root's to read")
async def test_a_sealed_question_leaves_no_word(tool_network: Network, words: list[bytes]) -> None:
    """While the answer comes and after it no process but the enclaves has a word of the question, no file, no
    figure, no packet; the enclaves write no file.
    """
    relay = httpx.URL(tool_network.status()["relay"]["url"])
    assert relay.port is not None
    pipe = Pipe(relay.port)
    async with AsyncClient(
        home=tool_network.home, privacy="sealed", relay=f"http://127.0.0.1:{pipe.port}"
    ) as client:
        with Wire(words) as wire:
            stream = client.stream(prompt(words), model="pydoc")
            pieces = aiter(stream)
            text = await anext(pieces)
            processes = processes_of(tool_network)
            during = having(processes, words)
            async for piece in pieces:
                text += piece
            await stream.draft.receipt.wait("witnessed", 20)
        processes = processes_of(tool_network)
        after = having(processes, words)
    assert text
    assert not (set(during) | set(after)) - {"enclaves"}, (during, after)
    assert wire.packets > 0
    assert wire.had == set()
    assert len(pipe.kept) > 4_000
    assert not [word for word in words if word in pipe.kept]
    assert in_files(tool_network.home, words) == {}
    assert not [word for word in words for said in metrics(tool_network) if word.decode() in said]
    assert [written_files(pid) for pid in processes["enclaves"]] == [[]] * len(processes["enclaves"])


@pytest.mark.skipif(os.geteuid() != 0, reason="other processes' memory is root's to read")
def test_a_plain_question_is_found(tool_network: Network, words: list[bytes]) -> None:
    """The same search finds the words of a plain question: at the gateway, and on the wire before it."""
    asked = {"model": "pydoc", "messages": [{"role": "user", "content": prompt(words)}]}
    body, place = json.dumps(asked).encode(), httpx.URL(tool_network.gateway)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {place.host}\r\ncontent-length: {len(body)}\r\n"
    with Wire(words) as wire, socket.create_connection((place.host, place.port or 80)) as line:
        line.sendall(head.encode() + b"connection: close\r\n\r\n" + body[:-1])
        gateway = {"gateway": processes_of(tool_network)["gateway"]}
        # While the last byte is missing the gateway has to keep all others.
        patiently(lambda: having(gateway, words) != {}, "the words")
        found = having(gateway, words)
        line.sendall(body[-1:])
        answer = b"".join(iter(lambda: line.recv(65_536), b""))
    assert b" 200 " in answer[:20]
    assert found["gateway"] == set(words)
    assert wire.had == set(words)


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """In this process's own memory, and in a file."""
    word = secrets.token_hex(12).encode()
    assert in_memory(os.getpid(), [word]) == {word}
    (tmp_path / "kept").write_bytes(b"..." + word)
    assert in_files(tmp_path, [word]) == {"kept": {word}}
