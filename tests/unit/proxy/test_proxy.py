"""The proxy on a little network: OpenAI's own client against it, and what it lets through of a bad answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import openai
import pytest

from hallmark import AsyncClient
from hallmark.apps.cli.proxy import listen_of
from hallmark.apps.web.proxy_page import asset, page
from hallmark.core.document import hex0x
from hallmark.core.documents import Candidate
from hallmark.core.errors import InvalidInput, Unauthorized
from hallmark.http.serve import Listen, bind
from hallmark.routing.steering import SENTENCES, Doubt
from hallmark.services.proxy.app import Proxy
from hallmark.services.relay.info import TO_NODE
from hallmark.services.sdk.verifying import Verifier
from hallmark.testing.listening import listening
from hallmark.testing.local_node import ANSWER
from hallmark.testing.ports import free_port
from hallmark.testing.relays import Mischief
from hallmark.testing.sealed_network import SealedNetwork, only
from hallmark.testing.stub_evidence import verify_stub_evidence

TEXT = "".join(ANSWER)
SECRET = "plum-coloured-lantern"
ASKED = {"model": "digits", "messages": [{"role": "user", "content": f"Which {SECRET}?"}]}


@pytest.fixture
async def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SealedNetwork]:
    """A network of a log, two nodes, a gateway and a relay."""
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    async with SealedNetwork() as network:
        yield network


def made(local: SealedNetwork, policy: str = "", **options: object) -> Proxy:
    """A proxy of the network."""
    verifier = Verifier(local.trust, verify_stub_evidence)
    client = AsyncClient(privacy="sealed", relay=local.relay_url, verifier=verifier, timeout=5.0)
    return Proxy(client, policy=policy, page=page, asset=asset, **options)  # type: ignore[arg-type]


@pytest.fixture
async def url(local: SealedNetwork) -> AsyncIterator[str]:
    """A proxy that listens."""
    proxy = made(local)
    async with listening(proxy.service, bind(Listen(free_port()))) as address:
        yield address
    await proxy.aclose()


@pytest.fixture
async def stock(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client, pointed at it."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        yield client


async def test_an_answer_with_its_marks(stock: openai.AsyncOpenAI, url: str) -> None:
    """Headers, the body's object and the status page say the same; the page holds no word of the question."""
    raw = await stock.chat.completions.with_raw_response.create(**ASKED)  # type: ignore[call-overload]
    answer = raw.parse()
    told = answer.model_extra["hallmark"]
    assert answer.choices[0].message.content == TEXT
    assert raw.headers["hallmark-path"] == "sealed"
    assert raw.headers["hallmark-receipt"] == told["id"]
    assert "route=checked" in raw.headers["hallmark-marks"]
    assert told["marks"]["route"]["detail"]["path"] == "sealed"
    assert told["sealed"]["suite"].startswith("x-wing/")
    async with httpx.AsyncClient(base_url=url) as plain:
        standing = (await plain.get("/index.json")).json()
        assert [one["receipt"] for one in standing["answers"]] == [told["id"]]
        assert standing["answers"][0]["request"] == raw.headers["x-request-id"]
        assert standing["keys"]
        shown = await plain.get("/", headers={"accept": "text/html"})
        assert told["id"] in shown.text
        assert "<script" not in shown.text
        assert "hardware is simulated" in shown.text
        for text in (shown.text, str(standing)):
            assert SECRET not in text
            assert TEXT not in text
        assert (await plain.get(f"/v1/hallmark/receipts/{told['id']}")).json()["receipt"] == told["id"]
        assert (await plain.get("/assets/marks.css")).status_code == 200
        assert (await plain.get("/assets/../proxy.py")).status_code == 404
    assert [model.id async for model in await stock.models.list()] == ["digits"]


async def test_the_gateways_tickets_on_the_status_page(local: SealedNetwork) -> None:
    """Nothing is read before somebody looks; then the page says what the log says of the tickets, no more."""
    local.net.tick(2 * 60_000)
    proxy = made(local, log=local.log_url)
    proxy._client.way.path._clock = lambda: local.net.now  # type: ignore[attr-defined]
    html = {"accept": "text/html"}
    async with listening(proxy.service, bind(Listen(free_port()))) as url:
        async with httpx.AsyncClient(base_url=url, follow_redirects=True) as plain:
            assert "Nobody has looked" in (await plain.get("/", headers=html)).text
            await proxy._client.take_ticket("digits")
            page = (await plain.get("/steering", headers=html)).text
            assert "1 ticket, held against a log of" in page
            assert "none says what the log denies" in page
            local.directory.ticket = lambda route: local.ticket(only(route))
            await proxy._client.take_ticket("digits")
            page = (await plain.get("/steering", headers=html)).text
            assert "1 of them say what the log denies" in page
            assert SENTENCES[Doubt.UNNAMED] in page
            told = (await plain.get("/index.json")).json()["steering"]
            assert [one["shows"] for one in told["doubted"]] == [True]
            assert sorted(told["offered"].values()) == [[1, 2], [2, 2]]
    await proxy.aclose()


async def test_a_log_that_is_not_there(local: SealedNetwork) -> None:
    """The status page says so by its reason, and claims nothing."""
    proxy = made(local)
    async with listening(proxy.service, bind(Listen(free_port()))) as url:
        async with httpx.AsyncClient(base_url=url, follow_redirects=True) as plain:
            page = (await plain.get("/steering", headers={"accept": "text/html"})).text
            assert "the log could not be read: no_log" in page
    await proxy.aclose()


async def test_a_stream_with_its_marks(stock: openai.AsyncOpenAI) -> None:
    """Chunks come as they are made; the last one carries receipt and marks."""
    stream = await stock.chat.completions.create(**ASKED, stream=True)  # type: ignore[call-overload]
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert chunks[-1].model_extra["hallmark"]["marks"]["ran"]["state"] == "checked"


BAD = (Mischief.TRUNCATE, Mischief.TAMPER_ANSWER, Mischief.DUPLICATE, Mischief.CUT, Mischief.DROP)


@pytest.mark.parametrize("mischief", BAD)
async def test_a_broken_stream_is_noticed(
    local: SealedNetwork, stock: openai.AsyncOpenAI, mischief: Mischief
) -> None:
    """Whatever the relay does to a stream, OpenAI's client raises."""
    await stock.chat.completions.create(**ASKED)  # type: ignore[call-overload]
    local.relay.only = TO_NODE + hex0x(local.net.nodes[0].address)
    one = Candidate(hex0x(local.net.nodes[0].address), hex0x(local.net.nodes[0].bundle.digest()))  # type: ignore[union-attr]
    local.directory.ticket = lambda route: local.ticket(
        msgspec.structs.replace(only(route), candidates=(one,))
    )
    local.relay.mischief = mischief
    with pytest.raises(openai.OpenAIError):
        [c async for c in await stock.chat.completions.create(**ASKED, stream=True)]  # type: ignore[call-overload]


async def into(parts: list[bytes], response: httpx.Response) -> None:
    """Read a body as it comes."""
    async for data in response.aiter_bytes():
        parts.append(data)


async def test_a_forged_stream_ends_in_an_error(
    local: SealedNetwork, stock: openai.AsyncOpenAI, url: str
) -> None:
    """A stream that is not what its receipt signs: an error event, no [DONE], the connection cut."""
    for node in local.nodes:
        node.behaviour = "forge"
    with pytest.raises(openai.APIError):
        [c async for c in await stock.chat.completions.create(**ASKED, stream=True)]  # type: ignore[call-overload]
    async with (
        httpx.AsyncClient() as plain,
        plain.stream("POST", f"{url}/v1/chat/completions", json={**ASKED, "stream": True}) as response,
    ):
        parts: list[bytes] = []
        with pytest.raises(httpx.RemoteProtocolError):
            await into(parts, response)
        seen = b"".join(parts)
    assert b'"code":"answer_does_not_hold"' in seen
    assert b"[DONE]" not in seen
    assert b'"hallmark"' not in seen


NO_ANSWERS = [
    (200, b"application/json", b'{"choices":[{"message":{"content":"made up"}}]}'),
    (200, b"text/event-stream", b'data: {"choices":[]}\n\ndata: [DONE]\n\n'),
    (200, b"text/event-stream", b""),
    (201, b"application/json", b'{"choices":[{"message":{"content":"made up"}}]}'),
    (302, b"application/json", b"{}"),
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("says", NO_ANSWERS)
async def test_what_has_no_receipt_is_no_answer(
    local: SealedNetwork, url: str, says: tuple[int, bytes, bytes], streamed: bool
) -> None:
    """Whatever an enclave says without one, an application gets an error or a stream that breaks."""
    for node in local.nodes:
        node.behaviour, node.says = "says", says
    body = {**ASKED, "stream": streamed}
    parts: list[bytes] = []
    async with httpx.AsyncClient() as plain:
        async with plain.stream("POST", f"{url}/v1/chat/completions", json=body) as response:
            if response.status_code < 400:
                with pytest.raises(httpx.RemoteProtocolError):
                    await into(parts, response)
            else:
                await into(parts, response)
    seen = b"".join(parts)
    assert b"[DONE]" not in seen
    assert b"made up" not in seen
    assert b'"error"' in seen


async def test_a_policy_holds(local: SealedNetwork) -> None:
    """With a policy nothing goes on before it is met: not an answer, not a piece of a stream."""
    proxy = made(local, "witnessed", hold_s=0.4)
    async with listening(proxy.service, bind(Listen(free_port()))) as url:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as stock:
            local.log.witnessing = False
            for streamed in (False, True):
                with pytest.raises(openai.APIStatusError) as held:
                    await stock.chat.completions.create(**ASKED, stream=streamed)  # type: ignore[call-overload]
                assert (held.value.status_code, held.value.code) == (412, "policy_not_met")
            local.log.witnessing = True
            local.log.witness()
            raw = await stock.chat.completions.with_raw_response.create(**ASKED)  # type: ignore[call-overload]
            assert "proved=witnessed" in raw.headers["hallmark-marks"]
    await proxy.aclose()


async def test_there_is_no_plain_way(local: SealedNetwork) -> None:
    """A proxy of a plain client is not made; without its relay it answers nothing, and asks nobody else."""
    plain = AsyncClient(local.url, verifier=Verifier(local.trust, verify_stub_evidence))
    with pytest.raises(Unauthorized) as caught:
        Proxy(plain, policy="", page=page, asset=asset)
    assert caught.value.reason == "proxy_plain"
    await plain.aclose()
    local.relay_url = f"http://127.0.0.1:{free_port()}"
    proxy = made(local)
    async with listening(proxy.service, bind(Listen(free_port()))) as url, httpx.AsyncClient() as http:
        said = await http.post(f"{url}/v1/chat/completions", json=ASKED)
        assert (said.status_code, said.json()["error"]["code"]) == (503, "relay_unreachable")
        assert "Nothing was sent in clear" in said.json()["error"]["message"]
    assert not [node for node in local.nodes if node.bodies]
    await proxy.aclose()


async def test_a_form_does_not_go_sealed(url: str) -> None:
    """Changes of images are refused plainly, and nothing is sent in clear instead."""
    files = {"image": b"\x89PNG\r\n\x1a\n"}
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{url}/v1/images/edits", data={"model": "digits"}, files=files)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unsupported_endpoint")
    assert "sealed" in answer.json()["error"]["message"]


async def test_no_page_of_another_site_asks(local: SealedNetwork, url: str) -> None:
    """Foreign origins and foreign names for this address are refused, unless the owner named them."""
    async with httpx.AsyncClient() as http:
        for head, reason in (
            ({"origin": "https://elsewhere.example"}, "foreign_origin"),
            ({"host": "elsewhere.example"}, "foreign_host"),
            ({"hallmark-payment": "x"}, "header_of_the_proxy"),
        ):
            said = await http.post(f"{url}/v1/chat/completions", json=ASKED, headers=head)
            assert said.json()["error"]["code"] == reason
    assert not [node for node in local.nodes if node.bodies]
    proxy = made(local, origins=frozenset(("https://app.example",)))
    async with listening(proxy.service, bind(Listen(free_port()))) as mine, httpx.AsyncClient() as http:
        head = {"origin": "https://app.example"}
        said = await http.post(f"{mine}/v1/chat/completions", json=ASKED, headers=head)
        assert said.headers["access-control-allow-origin"] == "https://app.example"
    await proxy.aclose()


def test_it_listens_on_loopback() -> None:
    """Another address has to be allowed by name."""
    assert listen_of("127.0.0.1:8080", beyond=False) == Listen(8080)
    assert listen_of("[::1]:8080", beyond=False) == Listen(8080, "::1")
    for text, reason in (("0.0.0.0:8080", "listen_beyond_loopback"), ("8080", "bad_listen")):
        with pytest.raises(InvalidInput) as caught:
            listen_of(text if ":" in text else f"x:{text}", beyond=False)
        assert caught.value.reason == reason
    assert listen_of("0.0.0.0:8080", beyond=True).host == "0.0.0.0"
