// Streams: taking them apart, what a receipt covers, and the dossier that begins.
import assert from "node:assert/strict";
import { test } from "node:test";
import { splitStream } from "../src/chat/answer.ts";
import type { Asking } from "../src/chat/api.ts";
import { dossierText, grown, openAnswer, readDossier, readNews, withoutContent } from "../src/chat/dossier.ts";
import { rawMembers, rawObject, textAt } from "../src/chat/rawjson.ts";
import { run, type Ended } from "../src/chat/runs.ts";
import { EventSplitter, isFinished, readPiece, textOf } from "../src/chat/sse.ts";

const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const decode = (data: Uint8Array): string => new TextDecoder().decode(data);
const delta = (text: string): string =>
  `data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta: { content: text } }] })}\n\n`;
const hallmark =
  '{"id":"0x01","network":"0x02","chain_id":31337,"receipt":{"version":1,"charged":340282366920938463463374607431768211455},"signature":"0x03","salts":{"request":"0x04","response":"0x05"},"documents":{"bundle":"{}","route":"{}","candidates":null,"extra":"x"},"ticket":null,"evidence":"AA==","insecure":[],"marks":{}}';
const receiptEvent = (frame = '{"id":"c","choices":[{"index":0,"delta":{}}]', inner = hallmark): string =>
  `data: ${frame},"hallmark":${inner}}\n\n`;
const DONE = "data: [DONE]\n\n";
const ASKED = {
  outcome: "asking",
  model: "digits",
  asserted: "",
  policy: "",
  nonce: "",
  receipt: "",
  arrivedAt: 0,
  provedAt: 0,
  facts: null,
  trouble: null,
} as const;
const refused = (body: string, reason: string): void => {
  assert.throws(
    () => splitStream(encode(body)),
    (error: { reason?: string }) => error.reason === reason,
  );
};

test("an answer that was stopped does not say why it ended", () => {
  const chunk = (finish: string): string => `data: {"choices":[{"index":0,"delta":{},"finish_reason":${finish}}]}\n\n`;
  const quoted = `data: {"choices":[{"delta":{"content":"\\"finish_reason\\":\\"stop\\""},"finish_reason":null}]}\n\n`;
  const of = (text: string): boolean => isFinished(new TextEncoder().encode(text));
  assert.deepEqual([of(chunk("null")), of(chunk('"length"')), of(quoted), of("")], [false, true, false, false]);
});

test("events split at any byte give the same payloads, and every byte is kept", () => {
  const bytes = encode(delta("Grüße 🌍") + delta("b") + DONE);
  for (let size = 1; size < bytes.length; size += 1) {
    const splitter = new EventSplitter();
    const found: string[] = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...splitter.feed(bytes.slice(at, at + size)));
    assert.equal(found.length, 3);
    assert.deepEqual(readPiece(found[0] ?? ""), { kind: "text", text: "Grüße 🌍" });
    assert.deepEqual(readPiece(found[2] ?? ""), { kind: "done" });
    assert.deepEqual(splitter.bytes(), bytes);
  }
});

test("bytes that are no UTF-8 are refused", () => {
  assert.throws(() => new EventSplitter().feed(new Uint8Array([0x64, 0xff, 0x0a, 0x0a])), TypeError);
});

test("text in the receipt's own event is never shown", () => {
  assert.deepEqual(readPiece('{"choices":[{"delta":{"content":"slipped in"}}],"hallmark":{}}'), { kind: "receipt" });
});

test("an error event is an error whatever else it holds", () => {
  assert.equal(readPiece('{"error":{"code":"answer_lost"},"choices":[{"delta":{"content":"x"}}]}').kind, "error");
});

test("what is covered is every byte before the receipt's event", () => {
  const covered = delta("Hi") + delta(" there");
  const { content, hallmark: raw } = splitStream(encode(covered + receiptEvent() + DONE));
  assert.equal(decode(content), covered);
  assert.equal(raw, hallmark);
  assert.equal(textOf(content), "Hi there");
});

test("a stream that was cut off has no receipt", () => {
  refused(delta("Hi") + receiptEvent(), "no_receipt");
  refused(delta("Hi") + DONE, "no_receipt");
  refused(delta("Hi"), "no_receipt");
  refused("", "no_receipt");
});

test("a receipt's event that carries a part of the answer is refused", () => {
  for (const frame of [
    '{"id":"c","choices":[{"index":0,"delta":{"content":"more"}}]',
    '{"id":"c","choices":[{"index":0,"text":"more"}]',
    '{"id":"c","choices":[{"index":0,"delta":{},"message":{"content":"x"}}]',
    '{"id":"c","choices":[],"answer":"more"',
    '{"id":"c","choices":{}',
    '{"id":"c","choices":[],"usage":{"total_tokens":9}',
    '{"id":"c","choices":[],"hallmark":{}',
  ])
    refused(delta("Hi") + receiptEvent(frame) + DONE, "bad_answer");
});

test("the usage stands once, after the receipt's event, and is covered", () => {
  const usage = 'data: {"id":"c","choices":[],"usage":{"total_tokens":9,"prompt_tokens":4}}\n\n';
  const frame = '{"id":"c","choices":[]';
  assert.equal(decode(splitStream(encode(receiptEvent(frame) + usage + DONE)).content), usage);
  for (const other of [usage + usage, ": note\n\n", "data: {}\n\n"]) {
    assert.throws(() => splitStream(encode(receiptEvent(frame) + other + DONE)));
  }
});

test("what an answer says cannot imitate the receipt's member", () => {
  const covered = delta(',"hallmark":{"id":"0xff"}}');
  assert.equal(decode(splitStream(encode(covered + receiptEvent() + DONE)).content), covered);
});

test("a dossier keeps the exact request, the exact covered text, and integers of any size", () => {
  const request = '{"model":"m", "messages":[ ]}';
  const covered = delta("Hi");
  const dossier = openAnswer("/v1/chat/completions", request, encode(covered + receiptEvent() + DONE));
  assert.equal(textAt(dossier, "request", "body"), request);
  assert.equal(textAt(dossier, "response", "body"), covered);
  assert.match(dossierText(dossier), /340282366920938463463374607431768211455/);
  assert.equal(dossier.has("marks"), false);
  assert.equal(rawMembers(dossier.get("documents") ?? "").has("extra"), false);
  assert.deepEqual([...readDossier(dossierText(dossier))], [...dossier]);
});

test("a dossier grows by the network's proofs and loses nothing of its owner's", () => {
  const mine = openAnswer("/p", "{}", encode(delta("Hi") + receiptEvent() + DONE));
  const news = readNews(
    `{"id":"0x01","receipt":${mine.get("receipt")},"documents":{"bundle":"other","manifest":"m"},"entry":{"index":7},"salts":{"request":"0x99"},"stage":"witnessed","status":[{"x":1}],"marks":{"ran":"anchored"}}`,
  );
  const more = grown(mine, news.dossier);
  assert.equal(news.stage, "witnessed");
  assert.equal(news.status, '[{"x":1}]');
  assert.equal(more.get("entry"), '{"index":7}');
  assert.equal(textAt(more, "documents", "bundle"), "{}");
  assert.equal(textAt(more, "documents", "manifest"), "m");
  assert.equal(textAt(more, "salts", "request"), "0x04");
  assert.equal(more.has("marks"), false);
});

test("news of another receipt is refused", () => {
  const mine = openAnswer("/p", "{}", encode(delta("Hi") + receiptEvent() + DONE));
  const other = readNews('{"id":"0x01","receipt":{"version":2,"charged":0}}').dossier;
  assert.throws(
    () => grown(mine, other),
    (error: { reason?: string }) => error.reason === "other_receipt",
  );
});

test("a dossier without content holds neither salts, nor request, nor answer, nor parameters", () => {
  const mine = openAnswer("/p", "{}", encode(delta("Hi") + receiptEvent() + DONE));
  assert.deepEqual(
    ["salts", "request", "response"].filter((name) => withoutContent(mine).has(name)),
    [],
  );
});

test("members are cut out of JSON exactly as they stand, whatever is nested in them", () => {
  const text = ' {"a" : {"b\\"}":[1,{"c":"]}"}]} ,"d":"x\\\\", "e":-1.50e3,"f":null ,"a":true}';
  assert.deepEqual(
    [...rawMembers(text)],
    [
      ["a", "true"],
      ["d", '"x\\\\"'],
      ["e", "-1.50e3"],
      ["f", "null"],
    ],
  );
  assert.equal(rawMembers('{"a":{"b\\"}":[1,{"c":"]}"}]}}').get("a"), '{"b\\"}":[1,{"c":"]}"}]}');
  assert.equal(rawObject([['q"', "1"]]), '{"q\\"":1}');
  for (const bad of ["[]", "1", "{", '{"a":}', ""]) assert.throws(() => rawMembers(bad));
});

test("an answer in another mode than was asked for is not shown", async () => {
  const nonce = "ab".repeat(32);
  const state = { ...ASKED, nonce };
  const ended = async (asked: string, mode: number): Promise<Ended> => {
    const more = `"mode":${mode},"clientNonce":"0x${nonce}","upstream":"0x${"0".repeat(64)}"`;
    const inner = hallmark.replace('"version":1,', `"version":1,${more},`);
    const sealed = {
      // The text came before the receipt, as it does.
      ask: async ({ onText }: Asking) => {
        onText("Hi");
        return encode(delta("Hi") + receiptEvent(undefined, inner) + DONE);
      },
      check: () => {},
    };
    const signal = new AbortController().signal;
    return run({ text: "{}", state, mode: asked, signal, stopped: () => false, onText: () => {}, sealed });
  };
  for (const [asked, mode] of [["", 1], ["tee", 1], ["replay", 2]] as const) {
    const kept = await ended(asked, mode);
    assert.deepEqual([kept.state.trouble, kept.text], [null, "Hi"]);
  }
  for (const [asked, mode] of [["replay", 1], ["tee", 2], ["tee", 7]] as const) {
    const refusedOne = await ended(asked, mode);
    assert.deepEqual([refusedOne.state.outcome, refusedOne.state.trouble?.reason], ["failed", "mode_not_kept"]);
    assert.deepEqual([refusedOne.text, refusedOne.dossier], ["", undefined]);
  }
});
