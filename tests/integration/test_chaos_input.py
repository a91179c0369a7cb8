"""What clients send that they should not, against a real gateway and a real node's TLS port."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from hallmark.compose.plan import Plan
from hallmark.testing.real_network import Network

pytestmark = pytest.mark.integration

CHAT = "/v1/chat/completions"
QUESTION = {"model": "pydoc", "messages": [{"role": "user", "content": "What does os.mkfifo do?"}]}
GOOD = json.dumps(QUESTION).encode()
MIB = 1 << 20
Talk = Callable[[bytes], bytes]


def plan_of(network: Network) -> Plan:
    """The ports of a network."""
    return msgspec.json.decode((network.home / "network.json").read_bytes(), type=Plan)


def connect(port: int, *, tls: bool) -> socket.socket:
    """A connection that trusts whoever answers: what is tested here is how it is answered."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    if not tls:
        return sock
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(sock)


def exchange(sock: socket.socket, data: bytes) -> bytes:
    """Everything that comes back for raw bytes, until the other side closes."""
    received = b""
    try:
        sock.sendall(data)
        while chunk := sock.recv(65_536):
            received += chunk
    except OSError:
        pass
    finally:
        sock.close()
    return received


def restarts(network: Network) -> dict[str, int]:
    """How often each service had to be started again."""
    return {name: service["restarts"] for name, service in network.status().items()}


@pytest.fixture(scope="module", autouse=True)
def restarted_before(network: Network) -> dict[str, int]:
    """What other tests of the same network ended, which is not this file's doing."""
    return restarts(network)


@pytest.fixture(params=["gateway", "node-1"])
def port(request: pytest.FixtureRequest, network: Network) -> tuple[int, bool]:
    """The two doors that strangers reach: port, and whether it speaks TLS."""
    plan = plan_of(network)
    return (plan.gateway_port, False) if request.param == "gateway" else (plan.nodes[0].port, True)


@pytest.fixture
def talk(port: tuple[int, bool]) -> Talk:
    """Send raw bytes to a door and read until it closes."""
    return lambda data: exchange(connect(port[0], tls=port[1]), data)


def request(body: bytes, *headers: bytes, length: bool = True) -> bytes:
    """A POST with these further header lines, after which the server should close."""
    lines = [b"POST " + CHAT.encode() + b" HTTP/1.1", b"host: x", b"content-type: application/json", *headers]
    lines += [b"content-length: %d" % len(body)] if length else []
    return b"\r\n".join([*lines, b"connection: close", b"", body])


def code_of(answer: bytes) -> tuple[int, str]:
    """Status and reason code of a raw answer; the code is empty when the body is no OpenAI error."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError):
        return status, ""
    assert {"message", "type", "param", "code"} <= set(error)
    return status, error["code"]


BAD = {"bad_json", "bad_request", "invalid_value", "invalid_type", "bad_utf8"}
MEANINGLESS = (
    b"",
    b"{",
    b'{"model":"pydoc"',
    b"[]",
    b"null",
    b'{"model":"pydoc","messages":"\xff\xfe"}',
    b'{"model":"pydoc","messages":[{"role":"user","content":"\xc3\x28"}]}',
    b'{"model":"pydoc","temperature":NaN,"messages":[]}',
    b'{"model":"pydoc","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b"[" * 3_000_000,
    b'{"model":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    b'{"model":"pydoc","messages":[]}',
    b'{"model":7,"messages":[]}',
    GOOD[:-1] + b',"temperature":1e999}',
    GOOD[:-1] + b',"max_tokens":-5}',
    GOOD[:-1] + b',"max_tokens":' + b"9" * 5_000 + b"}",
)


@pytest.mark.parametrize("body", MEANINGLESS, ids=range(len(MEANINGLESS)))
def test_bodies_that_mean_nothing(talk: Talk, body: bytes) -> None:
    """Each is refused with 400 and a reason code in OpenAI's shape."""
    status, code = code_of(talk(request(body)))
    assert status == 400
    assert code in BAD


def test_an_unknown_model(talk: Talk) -> None:
    """A model that nobody has is named as such."""
    body = GOOD.replace(b"pydoc", b"nothing")
    assert code_of(talk(request(body))) == (404, "model_not_found")


def test_tensors_that_are_none(network: Network) -> None:
    """Wrong shapes, words, NaN and missing inputs of a tensor model are named."""
    url = f"{network.gateway}/v1/hallmark/infer"
    values: tuple[object, ...] = ([], [[1.0] * 63], "x", [["x"] * 64], None)
    wrong: list[dict[str, object]] = [{}, {"no": 1}, *({"image": value} for value in values)]
    for inputs in wrong:
        answer = httpx.post(url, json={"model": "digits", "inputs": inputs})
        assert answer.status_code == 400, inputs
        assert answer.json()["error"]["code"]
    answer = httpx.post(url, content=b'{"model":"digits","inputs":{"image":[[' + b"NaN," * 63 + b"NaN]]}}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_json")


def test_a_body_over_the_limit(talk: Talk) -> None:
    """Announced or not, too large a body is refused and not read to its end."""
    big = b'{"model":"pydoc","messages":"' + b"x" * (17 * MIB) + b'"}'
    announced = b"POST " + CHAT.encode() + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    announced += b"content-length: 99999999999\r\n\r\n{"
    assert code_of(talk(announced)) == (413, "body_too_large")
    chunks = b"".join(b"%x\r\n%s\r\n" % (MIB, big[i : i + MIB]) for i in range(0, 17 * MIB, MIB))
    data = request(chunks + b"0\r\n\r\n", b"transfer-encoding: chunked", length=False)
    answer = talk(data)
    # A server that stops reading may reset the connection before its answer is read.
    assert not answer or code_of(answer) == (413, "body_too_large")


@pytest.mark.parametrize(
    "headers",
    [
        (b"content-length: 5", b"transfer-encoding: chunked"),
        (b"transfer-encoding: chunked", b"transfer-encoding: identity"),
        (b"content-length: 4", b"content-length: 5"),
        (b"content-length: -1",),
        (b"content-length: 1e3",),
        (b"content-length: " + b"9" * 40,),
        (b"transfer-encoding: chunked, gzip",),
        (b"transfer-encoding : chunked",),
        (b"x\0y: z", b"content-length: 2"),
    ],
    ids=range(9),
)
def test_headers_that_two_servers_could_read_differently(talk: Talk, headers: tuple[bytes, ...]) -> None:
    """Whatever frames a body twice, or badly, is one refusal and a closed connection, never two requests."""
    smuggled = b"0\r\n\r\nGET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = talk(request(smuggled, *headers, length=False))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 4")


def test_thousands_of_headers(talk: Talk) -> None:
    """A head over its limit is refused; the connection closes."""
    many = [b"x-%d: %s" % (n, b"y" * 20) for n in range(40_000)]
    answer = talk(request(b"{}", *many))
    assert not answer or answer.startswith(b"HTTP/1.1 431 ")


def test_no_http_at_all(talk: Talk) -> None:
    """Noise gets a refusal or a closed connection; the next client is served."""
    for noise in (
        b"\x16\x03\x01" + os.urandom(400),
        b"\0" * 10_000,
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ):
        answer = talk(noise)
        assert not answer or answer.startswith(b"HTTP/1.1 4")


def test_noise_before_tls(network: Network) -> None:
    """A node's port answers bytes that are no TLS by closing."""
    port = plan_of(network).nodes[0].port
    for noise in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(5_000), b""):
        sock = connect(port, tls=False)
        sock.sendall(noise)
        sock.shutdown(socket.SHUT_WR)
        answer = exchange(sock, b"")
        assert b"HTTP/1.1 200" not in answer


def test_slow_heads_and_bodies_do_not_hold_a_door(network: Network) -> None:
    """Clients that begin a request and stop leave the next one served, and are told 408 in the end."""
    plan, slow = plan_of(network), list[socket.socket]()
    doors = ((plan.gateway_port, False), (plan.nodes[0].port, True))
    for number in range(80):
        slow.append(connect(doors[number % 2][0], tls=doors[number % 2][1]))
        rest = b"content-length: 1000\r\nconnection: close\r\n\r\n{" if number % 4 > 1 else b"x-slow: "
        slow[-1].sendall(b"POST " + CHAT.encode() + b" HTTP/1.1\r\nhost: x\r\n" + rest)
    for door, tls in doors:
        assert exchange(connect(door, tls=tls), request(GOOD)).startswith(b"HTTP/1.1 200 ")
    for sock in slow:
        assert exchange(sock, b"").startswith(b"HTTP/1.1 408 ")


def rss_mib(pid: int) -> int:
    """Resident memory of a process, MiB."""
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


def test_huge_bodies_leave_no_memory_behind(network: Network) -> None:
    """Sixty bodies of 3 MiB each, garbage and refused, do not stay in the gateway."""
    pid, url = network.status()["gateway"]["pid"], network.gateway + CHAT
    body = b'{"model":"pydoc","messages":[{"role":"user","content":"' + b"x" * (3 * MIB)
    with httpx.Client(timeout=60) as client:
        for _ in range(10):
            assert client.post(url, content=body).status_code == 400
        before = rss_mib(pid)
        for _ in range(50):
            assert client.post(url, content=body).status_code == 400
    assert rss_mib(pid) - before < 64


def test_a_client_that_leaves_in_mid_stream_is_in_the_log(network: Network) -> None:
    """What was emitted before the client went is signed and logged like every other answer."""
    log, size = network.status()["log"]["url"], 0
    for _ in range(5):
        size = httpx.get(f"{log}/head").json()["size"]
        body = {**QUESTION, "stream": True}
        with (
            httpx.Client(timeout=60) as client,
            client.stream("POST", network.gateway + CHAT, json=body) as answer,
        ):
            next(answer.iter_raw(1))
        grown = httpx.get(f"{log}/wait?size={size + 1}&timeout=60000", timeout=75).json()
        assert grown["size"] > size


def test_everything_is_still_there(network: Network, restarted_before: dict[str, int]) -> None:
    """After all of it no process had to be started again, and an answer clears."""
    assert restarts(network) == restarted_before
    done = network.run("ask", "What does os.mkfifo do?", "--require", "witnessed")
    assert done.returncode == 0, done.stderr
