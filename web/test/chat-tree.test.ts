// Branches, changes of who answers, requests, blocks and sentences.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BlockCutter, SentenceCutter } from "../src/chat/blocks.ts";
import { breakBetween } from "../src/chat/changes.ts";
import { sentenceOf } from "../src/chat/gate.ts";
import { requestHeaders, requestText } from "../src/chat/request.ts";
import { hardwareOf, pathNote, pathSentence, whoSees } from "../src/chat/seen.ts";
import {
  add,
  emptyConversation,
  lineage,
  onPath,
  pathOf,
  placeOf,
  remove,
  titleOf,
  turn,
  type AnswerFacts,
  wasSealed,
  type AnswerState,
  type Conversation,
  type Message,
} from "../src/chat/tree.ts";
import { answered } from "./answers.ts";

const say = (
  conversation: Conversation,
  id: string,
  parent: string,
  role: Message["role"],
  outcome: AnswerState["outcome"] = "complete",
): Conversation =>
  add(conversation, {
    id,
    parent,
    role,
    text: `${id} says`,
    at: 1,
    answer: role === "user" ? null : answered(outcome),
  });
const start = (): Conversation => {
  let conversation = say(emptyConversation("c", 0, "m", ""), "q1", "", "user");
  conversation = say(conversation, "a1", "q1", "assistant");
  conversation = say(conversation, "q2", "a1", "user");
  return say(conversation, "a2", "q2", "assistant");
};
const shown = (conversation: Conversation): string =>
  pathOf(conversation)
    .map((message) => message.id)
    .join(" ");
const facts: AnswerFacts = {
  label: "pydoc",
  artifact: `0x34${"0".repeat(60)}cd`,
  provider: "",
  node: "0xaaaa",
  path: "plain",
  mode: "tee",
};

test("editing the first question branches at the root, and both branches stay", () => {
  const edited = say(start(), "q1b", "", "user");
  assert.equal(shown(edited), "q1b");
  assert.deepEqual(placeOf(edited, "q1b"), { index: 1, of: 2, siblings: ["q1", "q1b"] });
  assert.equal(shown(turn(edited, "q1b", -1)), "q1 a1 q2 a2");
  assert.equal(shown(turn(turn(edited, "q1b", -1), "q1", 5)), "q1b");
});

test("regenerating branches beside the answer, and the switch goes back to the whole branch", () => {
  const again = say(start(), "a1b", "q1", "assistant");
  assert.equal(shown(again), "q1 a1b");
  assert.equal(shown(turn(again, "a1b", -1)), "q1 a1 q2 a2");
  assert.deepEqual(
    lineage(again, "a2").map((message) => message.id),
    ["q1", "a1", "q2", "a2"],
  );
});

test("deleting a message deletes what follows from it, and the other branch is shown", () => {
  const again = say(start(), "a1b", "q1", "assistant");
  const { conversation, removed } = remove(again, "a1");
  assert.deepEqual(removed.sort(), ["a1", "a2", "q2"]);
  assert.equal(shown(conversation), "q1 a1b");
  assert.deepEqual(Object.keys(conversation.messages).sort(), ["a1b", "q1"]);
  assert.equal(shown(remove(again, "q1").conversation), "");
  assert.deepEqual(remove(again, "none").removed, []);
});

test("a change never alters the value that it was made from", () => {
  const before = start();
  const text = JSON.stringify(before);
  remove(turn(say(before, "x", "q1", "assistant"), "x", -1), "a1");
  assert.equal(JSON.stringify(before), text);
});

test("a title is the first line, cut between whole characters", () => {
  assert.equal(titleOf("  Hello\nworld"), "Hello");
  assert.equal(titleOf(" \n "), "New conversation");
  assert.equal([...titleOf("🌍".repeat(80))].length, 60);
});

test("a request holds instructions, what was said, and nothing that failed or was withheld", () => {
  let conversation: Conversation = { ...start(), system: "Be short.", temperature: 0.5, maxTokens: 9 };
  conversation = say(conversation, "a2b", "q2", "assistant", "failed");
  conversation = say(conversation, "q3", "a2b", "user");
  const sent = JSON.parse(requestText(conversation, lineage(conversation, "q3"))) as Record<string, unknown>;
  assert.deepEqual(sent["messages"], [
    { role: "system", content: "Be short." },
    { role: "user", content: "q1 says" },
    { role: "assistant", content: "a1 says" },
    { role: "user", content: "q2 says" },
    { role: "user", content: "q3 says" },
  ]);
  assert.deepEqual([sent["model"], sent["stream"], sent["temperature"], sent["max_tokens"]], ["m", true, 0.5, 9]);
  assert.deepEqual(requestHeaders("ab", "", ""), { "content-type": "application/json", "hallmark-nonce": "ab" });
  assert.equal(requestHeaders("ab", "witnessed", "tee")["hallmark-policy"], "witnessed");
});

test("what was asked sealed is no part of a plain request, and a part of a sealed one", () => {
  let conversation = say(start(), "q3", "a2", "user");
  const { q1, a1 } = conversation.messages;
  assert.ok(q1 !== undefined && a1?.answer != null);
  const messages = { ...conversation.messages, q1: onPath(q1, "sealed"), a1: { ...a1, answer: onPath(a1.answer, "sealed") } };
  conversation = { ...conversation, messages };
  const saidIn = (path: "plain" | "sealed"): string[] =>
    (JSON.parse(requestText(conversation, lineage(conversation, "q3"), path)) as { messages: { content: string }[] }).messages.map(({ content }) => content);
  assert.ok(!saidIn("plain").some((text) => text.startsWith("q1") || text.startsWith("a1")), saidIn("plain").join());
  assert.ok(saidIn("sealed").includes("q1 says"));
  assert.ok(saidIn("plain").includes("q3 says"));
  assert.equal(wasSealed(onPath(onPath(q1, "sealed"), "plain")), false);
});

test("a plain path says as loudly who reads along, and simulated hardware is named as such on a sealed one", () => {
  const at = { relay: "relay.example", provider: "", hardware: "simulated" } as const;
  assert.match(pathSentence("plain", at), /^Plain path: the gateway reads/);
  assert.doesNotMatch(JSON.stringify([pathSentence("plain", at), pathNote("plain", at), whoSees("plain", at)]), /private|sealed|end-to-end/i);
  for (const words of [pathSentence("sealed", at), pathNote("sealed", at), JSON.stringify(whoSees("sealed", at))]) assert.match(words, /simulated/);
  assert.match(pathSentence("sealed", { ...at, provider: "provider.example" }), /provider.example reads it in clear/);
  assert.deepEqual(['{"attestation":{"kinds":["nitro"]}}', '{"attestation":{"kinds":["nitro","nitro-dev"]}}', "{}", "x"].map(hardwareOf), ["real", "mixed", "simulated", "simulated"]);
});

test("nothing changed, no line", () => {
  assert.equal(breakBetween(facts, { ...facts }), undefined);
});

test("the same label with another artifact draws a heavy line that names both", () => {
  const found = breakBetween(facts, { ...facts, artifact: `0x12${"0".repeat(60)}ab` });
  assert.equal(found?.text, "From here on: artifact 0x120000\u20260000ab instead of artifact 0x340000\u20260000cd, same label pydoc.");
  assert.equal(found?.heavy, true);
});

test("a provider in place of an artifact is said to assert its model, and names no artifact", () => {
  const found = breakBetween(facts, { ...facts, artifact: "", provider: "api.example.org" });
  assert.match(
    found?.text ?? "",
    /: provider api\.example\.org, which only asserts its model, instead of artifact 0x340000\u20260000cd, same label pydoc \(asserted by api\.example\.org\)\.$/,
  );
  assert.equal(found?.heavy, true);
});

test("a label that was asserted is never told without saying by whom", () => {
  const asserted = { ...facts, artifact: "", provider: "api.example.org" };
  assert.match(
    breakBetween(asserted, facts)?.text ?? "",
    /: artifact 0x340000\u20260000cd instead of provider api\.example\.org, which only asserts its model, same label pydoc \(before: asserted by api\.example\.org\)\.$/,
  );
  assert.match(
    breakBetween({ ...asserted, label: "big" }, facts)?.text ?? "",
    /label pydoc instead of big \(asserted by api\.example\.org\)\.$/,
  );
});

test("each of node, path, mode and label is told", () => {
  assert.deepEqual(
    [
      breakBetween(facts, { ...facts, node: "0xbbbb" })?.heavy,
      breakBetween(facts, { ...facts, path: "direct" })?.heavy,
    ],
    [false, true],
  );
  assert.match(
    breakBetween(facts, { ...facts, path: "direct", mode: "vanilla", label: "x" })?.text ?? "",
    /path direct instead of plain; mode vanilla instead of tee \(real or simulated hardware: the mark ran says it\), label x instead of pydoc/,
  );
});

test("blocks that are cut join to the text again, whatever the pieces were", () => {
  const text = "# A\n\npara one\nmore\n\n- a\n\n- b\n\n  deeper\n\nafter\n\n```js\n\nlet x\n\n```\n\n> q\n\nend";
  for (let size = 1; size < 12; size += 1) {
    const cutter = new BlockCutter();
    const done: string[] = [];
    for (let at = 0; at < text.length; at += size) done.push(...cutter.feed(text.slice(at, at + size)));
    assert.equal(done.join("") + cutter.rest, text);
    assert.ok(
      done.some((block) => block.includes("- a\n\n- b\n\n  deeper")),
      "a loose list stays whole",
    );
    assert.ok(
      done.every((block) => (block.match(/```/g)?.length ?? 0) % 2 === 0),
      "a fence stays whole",
    );
  }
});

test("sentences are said whole, and the rest at the end", () => {
  const cutter = new SentenceCutter();
  assert.equal(cutter.feed("os.path jo"), "");
  assert.equal(cutter.feed("ins paths. Then"), "os.path joins paths.");
  assert.equal(cutter.rest(), "Then");
  assert.equal(cutter.rest(), "");
});

test("the sentence about the whole names its policy, and HOLD names what is missing", () => {
  const missing = [{ question: "proved", required: "witnessed", state: "absent", reason: "state_too_low" }] as const;
  assert.equal(
    sentenceOf({ clear: false, policy: "witnessed", missing, failed: [], asked: ["ran", "proved"] }, "12:00:00", ""),
    "HOLD: does not meet witnessed, checked here 12:00:00 (asks for ran, proved): proved is absent, witnessed is required.",
  );
  const failed = [{ question: "ran", required: "witnessed", state: "stale", reason: "evidence_stale" }] as const;
  assert.match(
    sentenceOf({ clear: false, policy: "w", missing: [], failed, asked: ["ran"] }, "12:00:00", "simulated"),
    /: ran is stale \(simulated\) \(evidence_stale\)\.$/,
  );
  assert.equal(
    sentenceOf({ clear: true, policy: "witnessed", missing: [], failed: [], asked: ["ran"] }, "12:03:22", "simulated"),
    "meets witnessed, checked here 12:03:22 (asks for ran)",
  );
});
