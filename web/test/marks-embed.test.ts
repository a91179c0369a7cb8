// The embeddable component's rules, as far as they need no page.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { readAgainst } from "../src/marks/against.ts";
import { fetchTrusted, isReceiptId, reasonOf, refusedBy, unshown, verifyPublic } from "../src/marks/embed.ts";
import { QUESTIONS } from "../src/marks/spec.ts";

const trust = '{"format":"x"}';
const fetchText = async (): Promise<string> => trust;
const id = `0x${"ab".repeat(32)}`;

test("a page may name the one trust file that it accepts, and another is refused in words", async () => {
  const digest = createHash("sha256").update(trust).digest("hex");
  for (const named of ["", digest, digest.toUpperCase(), `0x${digest}`, ` ${digest} `])
    assert.equal(await fetchTrusted(fetchText, named), trust);
  const error = await fetchTrusted(
    fetchText,
    digest.replace(/./, (sign) => (sign === "0" ? "1" : "0")),
  ).catch((found: unknown) => found);
  assert.equal(reasonOf(error), "trust file differs from the one this page names");
  await assert.rejects(fetchTrusted(fetchText, "nonsense"));
});

test("without verification every mark is absent", () => {
  const shown = unshown("not checked yet");
  assert.deepEqual(
    QUESTIONS.map((question) => shown.marks[question].state),
    Array(7).fill("absent"),
  );
});

test("a gateway that answers with another receipt shows nothing", () => {
  assert.throws(
    () =>
      verifyPublic(
        `{"id":"0x${"cd".repeat(32)}","stage":"anchored","marks":{}}`,
        trust,
        { receipt: id, policy: "", trustSHA256: "" },
        1,
      ),
    /another receipt/,
  );
});

test("only a whole receipt id is asked for", () => {
  assert.deepEqual([id, id.toUpperCase(), `${id}/..`, "0x12", "", `${id}\n`].map(isReceiptId), [
    true,
    false,
    false,
    false,
    false,
    false,
  ]);
});

test("of what others say only what speaks against is taken", () => {
  const status = [
    {
      question: "ran",
      state: "revoked",
      by: "x",
      at: 5,
      evidence: "0xab",
      reason: "measurement_revoked",
      detail: { what: "w" },
    },
    { question: "ran", state: "anchored", by: "x", at: 5, evidence: "0x", reason: "", detail: {} },
    { question: "ran", state: "not_required", by: "x", at: 5 },
    { question: "other", state: "failed", at: 1 },
    { question: "ran", state: "failed" },
    7,
    null,
  ];
  const found = readAgainst(JSON.stringify(status));
  assert.deepEqual(
    found.map((finding) => [finding.question, finding.state, finding.at, finding.reason]),
    [["ran", "revoked", 5n, "measurement_revoked"]],
  );
  assert.deepEqual(readAgainst("{}"), []);
});

test("an error that is none of ours is an unreachable gateway, and says nothing else", () => {
  assert.equal(reasonOf(new TypeError("Failed to fetch secret")), "not checked: the gateway cannot be reached");
});

test("what the gateway answered is said, and is not called out of reach", () => {
  assert.equal(reasonOf(refusedBy(404, "{}")), "not checked: this gateway knows no receipt with this id");
  const body = JSON.stringify({ error: { message: "The log is behind." } });
  assert.equal(reasonOf(refusedBy(503, body)), "not checked: the gateway answered 503: The log is behind.");
  for (const other of ["", "<html>", "null", "[]", '{"error":{"message":5}}'])
    assert.match(reasonOf(refusedBy(500, other)), /^not checked: the gateway answered 500$/);
});

test("a policy that the trust file does not name is refused, not ignored", () => {
  const network = JSON.parse(readFileSync(new URL("../../tests/vectors/network.json", import.meta.url), "utf8"));
  const dossier = JSON.stringify(network.dossier);
  const asked = (policy: string) =>
    verifyPublic(dossier, network.trust_json, { receipt: network.dossier.id, policy, trustSHA256: "" }, network.now);
  assert.throws(() => asked("witnesed"), /names no policy of the trust file/);
  assert.equal(asked("witnessed").policy?.name, "witnessed");
  assert.equal(asked("").policy, undefined);
});
