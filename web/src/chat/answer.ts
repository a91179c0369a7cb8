// Which bytes of a stream a receipt covers: core/answer.py in TypeScript. docs/api.md says it in words.
import { HallmarkError } from "../verify/errors.ts";
import { isRecord } from "./sse.ts";

const MEMBER = new TextEncoder().encode(',"hallmark":');
const DONE = new TextEncoder().encode("data: [DONE]\n\n");
const BREAK = new TextEncoder().encode("\n\n");
const DATA = new TextEncoder().encode("data: ");
const FRAME = new Set(["id", "object", "created", "model", "choices", "hallmark"]);

/** Covered bytes of an answer, and the exact text of its receipt's object. */
export interface SplitAnswer {
  readonly content: Uint8Array<ArrayBuffer>;
  readonly hallmark: string;
}

/**
 * Takes a complete stream apart. Throws `no_receipt` (also when the stream was cut off), `bad_answer` (also when the
 * receipt's event holds anything that could be taken for a part of the answer).
 */
export function splitStream(body: Uint8Array<ArrayBuffer>): SplitAnswer {
  if (!endsWith(body, new Uint8Array([...BREAK, ...DONE]))) {
    throw new HallmarkError("no_receipt", "The stream ended without a receipt and [DONE].");
  }
  let [head, event] = lastEvent(body.subarray(0, body.length - DONE.length));
  let tail: Uint8Array<ArrayBuffer> = new Uint8Array();
  if (lastIndexOf(event, MEMBER, event.length) < 0 && head.length > 0) {
    tail = event;
    [head, event] = lastEvent(head);
  }
  const payload = payloadOf(event);
  const at = lastIndexOf(payload, MEMBER, payload.length);
  if (at < 0 || payload[payload.length - 1] !== 0x7d) throw noReceipt();
  const hallmark = decode(payload.subarray(at + MEMBER.length, payload.length - 1));
  parseObject(hallmark);
  requireEmpty(parseObject(`${decode(payload.subarray(0, at))}}`));
  if (tail.length > 0 && !isRecord(parseObject(decode(payloadOf(tail)))["usage"])) throw noReceipt();
  return { content: new Uint8Array([...head, ...tail]), hallmark };
}

/** What comes before the last event, and that event with its closing blank line. */
function lastEvent(events: Uint8Array<ArrayBuffer>): [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>] {
  const before = lastIndexOf(events, BREAK, events.length - 2);
  const start = before < 0 ? 0 : before + 2;
  return [events.subarray(0, start), events.subarray(start)];
}

/** The JSON of an event with one data line. Throws `no_receipt`. */
function payloadOf(event: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const line = event.subarray(0, Math.max(event.length - 2, 0));
  if (!startsWith(line, DATA) || line.includes(10)) throw noReceipt();
  return line.subarray(DATA.length);
}

function requireEmpty(frame: Record<string, unknown>): void {
  if ("hallmark" in frame) throw bad("The answer is not a plain object without a receipt.");
  const choices = frame["choices"];
  if (!Array.isArray(choices) || Object.keys(frame).some((name) => !FRAME.has(name))) {
    throw bad("The receipt's event holds more than a receipt.");
  }
  if (!choices.every(isEmptyChoice)) throw bad("The receipt's event holds a part of the answer.");
}

function isEmptyChoice(choice: unknown): boolean {
  const empty: Readonly<Record<string, unknown>> = {
    index: 0,
    logprobs: null,
    finish_reason: null,
    delta: {},
    text: "",
  };
  return (
    isRecord(choice) &&
    Object.entries(choice).every(([name, value]) => Object.hasOwn(empty, name) && equal(value, empty[name]))
  );
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw bad("The answer is not JSON.");
  }
  if (!isRecord(value)) throw bad("The answer is not a JSON object.");
  return value;
}

function decode(data: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    throw bad("The answer is not text.");
  }
}

function equal(one: unknown, other: unknown): boolean {
  if (Array.isArray(one))
    return Array.isArray(other) && one.length === other.length && one.every((item, at) => equal(item, other[at]));
  if (!isRecord(one)) return one === other;
  if (!isRecord(other) || Object.keys(one).length !== Object.keys(other).length) return false;
  return Object.entries(one).every(([name, value]) => Object.hasOwn(other, name) && equal(value, other[name]));
}

function lastIndexOf(data: Uint8Array, part: Uint8Array, end: number): number {
  for (let at = end - part.length; at >= 0; at -= 1) {
    if (part.every((byte, offset) => data[at + offset] === byte)) return at;
  }
  return -1;
}

function startsWith(data: Uint8Array, part: Uint8Array): boolean {
  return data.length >= part.length && part.every((byte, at) => data[at] === byte);
}

function endsWith(data: Uint8Array, part: Uint8Array): boolean {
  return data.length >= part.length && part.every((byte, at) => data[data.length - part.length + at] === byte);
}

function noReceipt(): HallmarkError {
  return new HallmarkError("no_receipt", "The stream's last event carries no receipt.");
}

function bad(message: string): HallmarkError {
  return new HallmarkError("bad_answer", message);
}
