"""Every answer's frame: headers, twins, errors, assets."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient

from hallmark.apps.web import times
from hallmark.apps.web.app import create_app
from hallmark.apps.web.formatting import copyable
from hallmark.testing.scene import NOW
from hallmark.testing.surfaces import ORIGIN, Scene, surfaces


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """The pages of a plain scene, with a little build folder."""
    (tmp_path / "hallmark-marks.js").write_text("export {};")
    (tmp_path / "review.js").write_text("export {};")
    (tmp_path / "part-a1b2c3d4.js").write_text("export {};")
    (tmp_path / "secret.txt").write_text("canary within")
    (tmp_path.parent / "outside.js").write_text("canary outside")
    return TestClient(create_app(surfaces(Scene(), tmp_path)), base_url=ORIGIN)


@pytest.mark.parametrize("path", ["/", "/nothing", "/assets/hallmark.css", "/assets/none.js", "/index.json"])
def test_every_answer_has_the_headers(client: TestClient, path: str) -> None:
    """Pages, errors, files and twins all carry policy, framing and referrer headers."""
    headers = client.get(path).headers
    assert headers["content-security-policy"].startswith(
        "default-src 'self'; script-src 'self'; style-src 'self'"
    )
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "permissions-policy" in headers


@pytest.mark.parametrize(
    ("relay", "origin"),
    [
        ("", ""),
        ("https://relay.example:8443/below/", " https://relay.example:8443"),
        ("http://127.0.0.1:21505", " http://127.0.0.1:21505"),
        ("https://a.example; script-src *", ""),
        ("javascript:alert(1)", ""),
        ("https://*", ""),
    ],
)
def test_the_chat_alone_may_reach_the_relay(tmp_path: Path, relay: str, origin: str) -> None:
    """The relay's origin stands in the policy of the chat's page, and nothing else that it is called does."""
    made = msgspec.structs.replace(surfaces(Scene(), tmp_path), relay=relay)
    client = TestClient(create_app(made), base_url=ORIGIN)
    chat, home = (client.get(path).headers["content-security-policy"] for path in ("/chat", "/"))
    assert chat == home.replace("connect-src 'self'", f"connect-src 'self'{origin}")
    assert client.get("/chat.json").json()["relay"] == relay


def test_a_missing_page_says_why_in_both_forms(client: TestClient) -> None:
    """404 is a page with the reason, and JSON with the same reason for whoever asks for JSON."""
    page = client.get("/nothing", headers={"accept": "text/html"})
    assert page.status_code == 404
    assert "unknown_path" in page.text
    assert '<a href="/">To the start page</a>' in page.text
    for path, accept in (("/nothing.json", "*/*"), ("/nothing", "application/json")):
        twin = client.get(path, headers={"accept": accept})
        assert twin.status_code == 404
        assert twin.json()["error"]["code"] == "unknown_path"


def test_who_is_not_signed_in_is_told_once_how_to(client: TestClient) -> None:
    """The button says it; the sentence above does not say it again."""
    page = client.get("/review/webhooks", headers={"accept": "text/html"})
    assert page.status_code == 401
    assert page.text.count("Sign in with your key") == 1


def test_an_address_is_read_and_a_digest_is_short() -> None:
    """A digest is shortened in its middle; the address of a machine stands whole."""
    assert "id-middle" in copyable("0x" + "12" * 32)
    assert 'id-read">https://127.0.0.1:25522<' in copyable("https://127.0.0.1:25522")


@pytest.mark.parametrize(
    ("ms", "said"),
    [(0, "just now"), (999, "just now"), (-3, "just now"), (1_000, "1.0 s ago"), (-5_000, "in 5.0 s")],
)
def test_what_is_less_than_a_second_away_is_now(ms: int, said: str) -> None:
    """Two looks at a clock differ by a few ms: neither "0 ms ago" nor "in 3 ms"."""
    assert f">{said}<" in times.ago(NOW - ms, NOW)
    assert f">{times.span(max(ms, 0))}<" in times.lasting(NOW - ms, NOW)


def test_a_wrong_method_is_told(client: TestClient) -> None:
    """405 has a reason of its own."""
    refused = client.post("/", headers={"accept": "application/json"})
    assert refused.status_code == 405
    assert refused.json()["error"]["code"] == "method_not_allowed"


def test_a_bug_says_nothing_about_its_cause(tmp_path: Path) -> None:
    """An exception that nobody expected becomes a page without its text."""
    parts = surfaces(Scene(), tmp_path)

    class Broken:
        async def network(self) -> None:
            raise RuntimeError("canary of the cause")

    broken = type(parts)(**{n: getattr(parts, n) for n in parts.__struct_fields__} | {"explorer": Broken()})
    answer = TestClient(create_app(broken), base_url=ORIGIN).get("/")
    assert answer.status_code == 500
    assert "internal_error" in answer.text
    assert "canary" not in answer.text
    assert answer.headers["x-frame-options"] == "DENY"


def test_assets_have_types_and_etags(client: TestClient) -> None:
    """A file has its type and an ETag that saves sending it again."""
    first = client.get("/assets/hallmark.css")
    assert first.headers["content-type"] == "text/css; charset=utf-8"
    again = client.get("/assets/hallmark.css", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert client.get("/assets/review.js").headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in client.get("/assets/part-a1b2c3d4.js").headers["cache-control"]


def test_the_icon_stands_where_browsers_ask_for_it(client: TestClient) -> None:
    """Beside a JSON twin or a PDF no page says where the icon is: browsers ask for /favicon.ico."""
    answer = client.get("/favicon.ico")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert "<text" not in answer.text, "an icon that needs a font looks different everywhere"


def test_only_the_component_and_its_parts_are_for_other_sites(client: TestClient) -> None:
    """Other sites may load the embeddable component and what it imports, not our own pages' code."""
    for name, shared in (("hallmark-marks.js", True), ("part-a1b2c3d4.js", True), ("review.js", False)):
        headers = client.get(f"/assets/{name}").headers
        assert (headers.get("access-control-allow-origin") == "*") is shared
        assert headers["cross-origin-resource-policy"] == ("cross-origin" if shared else "same-origin")


@pytest.mark.parametrize(
    "name", ["secret.txt", "..%2foutside.js", "%2e%2e%2foutside.js", ".hidden.js", "none.js"]
)
def test_no_other_file_leaves(client: TestClient, name: str) -> None:
    """No file above or below the folders, none of another type."""
    answer = client.get(f"/assets/{name}")
    assert answer.status_code == 404
    assert b"canary" not in answer.content


def test_pages_have_no_inline_script_or_style(client: TestClient) -> None:
    """No inline script, style element, style or handler attribute, and nothing from another origin."""
    html = client.get("/").text
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert "<style" not in html
    assert not re.search(r"\s(style|on[a-z]+)=", html)
    assert not re.search(r"(src|href)=\"(https?:)?//(?!127\.0\.0\.1:21500)", html)


def test_verify_says_what_to_do_without_script(client: TestClient) -> None:
    """The page itself holds the command and where the network's own trust file is; its twin says the same."""
    page = client.get("/verify", headers={"accept": "text/html"}).text
    twin = client.get("/verify.json").json()
    assert twin["command"] == "hallmark verify FILE --trust trust.toml"
    assert twin["command"] in page
    assert f'data-trust="{twin["trust"]}"' in page
    assert '<script type="module" src="/assets/verify.js"></script>' in page
