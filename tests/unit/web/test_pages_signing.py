"""What a browser signs is what the desk takes: its own code runs here, its bytes are read in Python."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hallmark.apps.web.app import create_app
from hallmark.apps.web.sign_in import proof_of
from hallmark.core.document import hex0x, unhex
from hallmark.core.entries import decode
from hallmark.core.hashing import ZERO32
from hallmark.core.statements import Judgement, Review, text_of
from hallmark.crypto.secp256k1 import Key, recover_statement
from hallmark.services.chain.toolchain import find_node, prepare
from hallmark.services.review.actions import comment_digest
from hallmark.testing.scene import NOW, digest
from hallmark.testing.surfaces import CHAIN_ID, NETWORK, ORIGIN, Scene, reviewer_key, surfaces

ROOT = Path(__file__).resolve().parents[3]
HEAD = """
import { readFileSync } from "node:fs";
import { reviewEntry, signInProof, readKeyFile, addressOf } from "%s/web/src/review/statements.ts";
import { hex0x, unhex } from "%s/web/src/verify/bytes.ts";
const given = JSON.parse(readFileSync(0, "utf8"));
const secret = readKeyFile(given.key);
"""
TEXTS = (
    "",
    "plain",
    'quotes " and \\ and / and </script>',
    "lines\nand\ttabs\x00\x1f\x7f",
    "\u2028 \u2029 \ufeff end",
    "é 漢字 😀",
)


def node(script: str, given: object) -> object:
    """What the browser's code prints as JSON."""
    prepare(ROOT)
    done = subprocess.run(
        [str(find_node().node), "--input-type=module", "-e", HEAD.replace("%s", str(ROOT)) + script],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_review_signed_in_the_browser_is_a_log_entry() -> None:
    """Fields, signature and the digest of any two comments are what Python makes of them."""
    key, salt = Key(reviewer_key()), bytes(range(32))
    fields = {
        "network": hex0x(NETWORK),
        "item": digest("item"),
        "subject": 1_042,
        "judgement": 2,
        "reason": "wrong_facts",
        "policy": digest("policy"),
        "screen": digest("screen"),
        "at": NOW,
    }
    script = (
        "console.log(JSON.stringify(given.pairs.map(([comment, internal]) => hex0x(reviewEntry(given.fields, "
        "{ comment, internal, salt: unhex(given.salt) }, BigInt(given.chain), secret)))))"
    )
    pairs = [(comment, internal) for comment in TEXTS for internal in TEXTS]
    given = {
        "key": reviewer_key().hex(),
        "fields": fields,
        "salt": hex0x(salt),
        "chain": CHAIN_ID,
        "pairs": pairs,
    }
    made = node(script, given)
    assert isinstance(made, list)
    for entry, (comment, internal) in zip(made, pairs, strict=True):
        read = decode(unhex(entry))
        review = read.statement
        assert isinstance(review, Review)
        assert recover_statement(review, CHAIN_ID, read.signatures[0]) == key.address == review.reviewer
        assert (review.subject, review.judgement, text_of(review.reason)) == (
            1_042,
            Judgement.UNFIT,
            "wrong_facts",
        )
        expected = comment_digest(comment, internal, salt) if comment or internal else ZERO32
        assert review.comment == expected, (comment, internal)
        assert not read.attachments


def test_a_challenge_signed_in_the_browser_opens_a_session(tmp_path: Path) -> None:
    """The page's JSON twin brings the challenge, the browser's code signs it, the form brings a session."""
    client = TestClient(create_app(surfaces(Scene(), tmp_path)), base_url=ORIGIN)
    challenge = client.get("/sign-in.json").json()["challenge"]
    script = "console.log(JSON.stringify(signInProof(given.challenge, given.here, secret)))"
    proof = node(script, {"key": " 0x" + reviewer_key().hex() + "\n", "challenge": challenge, "here": ORIGIN})
    assert isinstance(proof, str)
    assert proof_of(proof).statement["key"] == hex0x(Key(reviewer_key()).address)
    form = {"proof": proof, "next": "/review"}
    answer = client.post("/sign-in", data=form, headers={"origin": ORIGIN}, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/review"
    assert "Ada Reviewer, reviewer" in client.get("/").text


def test_a_challenge_of_another_site_is_not_signed() -> None:
    """A page under another address gets no proof for this one: the browser compares with its own."""
    challenge = {
        "network": hex0x(NETWORK),
        "chain_id": CHAIN_ID,
        "nonce": digest("nonce"),
        "origin": digest("another site"),
        "public_url": "https://desk.example",
        "at": NOW,
        "expires": NOW,
    }
    script = (
        "try { signInProof(given.challenge, given.here, secret); console.log('null'); }"
        "catch (error) { console.log(JSON.stringify(error.reason)); }"
    )
    given = {"key": reviewer_key().hex(), "challenge": challenge, "here": ORIGIN}
    assert node(script, given) == "other_site"


@pytest.mark.parametrize("text", ["", "12", "zz" * 32, "00" * 32, "ff" * 32, "ab" * 33])
def test_what_is_no_key_file_is_refused(text: str) -> None:
    """Too short, no digits, zero, above the group's order, too long."""
    script = (
        "try { readKeyFile(given.text); console.log('null'); }"
        "catch (error) { console.log(JSON.stringify(error.reason)); }"
    )
    assert node(script, {"key": reviewer_key().hex(), "text": text}) == "bad_key_file"
