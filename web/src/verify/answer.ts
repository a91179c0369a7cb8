/**
 * How a receipt rides on an answer, and which bytes it covers (core/answer.py). A JSON answer carries it as its last
 * member, without white space; a stream in the last event before `data: [DONE]`, or in the one before it when the last
 * counts the tokens. The receipt's event may hold no text of an answer, so nothing can be slipped into what is not covered.
 */
import { concat, endsWith, lastIndexOf, utf8 } from "./bytes.ts";
import { HallmarkError, translated } from "./errors.ts";
import { Float, Members, parseJSON, type JSONValue } from "./json.ts";

const MEMBER = utf8(',"hallmark":');
const DONE = utf8("data: [DONE]\n\n");
const DATA = utf8("data: ");
const BLANK = utf8("\n\n");
const BRACE = utf8("}");
const FRAME = new Set(["id", "object", "created", "model", "choices", "hallmark"]);
const EMPTY_CHOICE: ReadonlyMap<string, JSONValue> = new Map<string, JSONValue>([
  ["index", 0n], ["logprobs", null], ["finish_reason", null], ["delta", new Members([])], ["text", ""],
]);

/** The covered bytes and the `hallmark` object, both exact. */
export type Split = [content: Uint8Array, hallmark: Uint8Array];

function bad(message: string): HallmarkError {
  return new HallmarkError("bad_answer", message);
}

function missing(message: string): HallmarkError {
  return new HallmarkError("no_receipt", message);
}

/**
 * The covered bytes of a JSON answer and its `hallmark` object. Inside JSON text quotes are escaped, so the member's name
 * cannot be imitated by what the answer says; an imitation in a nested object does not parse. Raises `no_receipt`,
 * `bad_answer`.
 */
export function splitHallmark(body: Uint8Array): Split {
  const at = lastIndexOf(body, MEMBER);
  if (at < 0 || !endsWith(body, BRACE)) throw missing("The answer carries no receipt as its last member.");
  const content = concat(body.subarray(0, at), BRACE);
  const hallmark = body.subarray(at + MEMBER.length, -1);
  const value = objectOf(content);
  if (!value.size || value.has("hallmark")) throw bad("The answer is not a plain object without a receipt.");
  objectOf(hallmark);
  return [content, hallmark];
}

/**
 * The covered bytes of a complete stream and its `hallmark` object. Raises `no_receipt` (also when the stream was cut
 * off), `bad_answer` (also when the receipt's event holds anything that could be taken for a part of the answer).
 */
export function splitHallmarkStream(body: Uint8Array): Split {
  if (!endsWith(body, concat(BLANK, DONE))) throw missing("The stream ended without a receipt and [DONE].");
  let [head, event] = lastEvent(body.subarray(0, -DONE.length));
  let tail: Uint8Array = new Uint8Array();
  if (lastIndexOf(event, MEMBER) < 0 && head.length) {
    tail = event;
    [head, event] = lastEvent(head);
  }
  if (!isData(event)) throw missing("The stream's last event carries no receipt.");
  const [frame, hallmark] = splitHallmark(event.subarray(DATA.length, -2));
  checkEmpty(objectOf(frame));
  if (tail.length) checkUsage(tail);
  return [concat(head, tail), hallmark];
}

/** What comes before the last event, and that event with its closing blank line. */
function lastEvent(events: Uint8Array): [head: Uint8Array, event: Uint8Array] {
  const before = lastIndexOf(events, BLANK, events.length - 2);
  const start = before < 0 ? 0 : before + 2;
  return [events.subarray(0, start), events.subarray(start)];
}

function isData(event: Uint8Array): boolean {
  return startsWith(event, DATA) && !event.subarray(0, Math.max(event.length - 2, 0)).includes(10);
}

/** The covered event after the receipt's: one JSON object that counts the tokens. */
function checkUsage(tail: Uint8Array): void {
  if (!isData(tail)) throw missing("The stream's last event carries no receipt.");
  if (!(objectOf(tail.subarray(DATA.length, -2)).get("usage") instanceof Members)) {
    throw missing("What follows the receipt's event counts no tokens.");
  }
}

function startsWith(data: Uint8Array, part: Uint8Array): boolean {
  return part.every((byte, at) => data[at] === byte);
}

function objectOf(data: Uint8Array): Map<string, JSONValue> {
  const value = translated(() => parseJSON(data, true), () => bad("The answer is not JSON."));
  if (!(value instanceof Members)) throw bad("The answer is not a JSON object.");
  return value.table();
}

function checkEmpty(frame: Map<string, JSONValue>): void {
  const choices = frame.get("choices");
  if ([...frame.keys()].some((name) => !FRAME.has(name)) || !Array.isArray(choices)) {
    throw bad("The receipt's event holds more than a receipt.");
  }
  for (const choice of choices) {
    const members = choice instanceof Members ? [...choice.table()] : undefined;
    const empty = members?.every(([name, value]) => EMPTY_CHOICE.has(name) && equal(value, EMPTY_CHOICE.get(name) ?? null));
    if (!empty) throw bad("The receipt's event holds a part of the answer.");
  }
}

/** Whether two values are equal as Python compares them: 0, 0.0 and false are. */
function equal(one: JSONValue, two: JSONValue): boolean {
  if (one instanceof Members || two instanceof Members) {
    if (!(one instanceof Members) || !(two instanceof Members)) return false;
    const [left, right] = [one.table(), two.table()];
    return left.size === right.size && [...left].every(([name, value]) => right.has(name) && equal(value, right.get(name) ?? null));
  }
  if (Array.isArray(one) || Array.isArray(two)) {
    if (!Array.isArray(one) || !Array.isArray(two)) return false;
    return one.length === two.length && one.every((value, at) => equal(value, two[at] ?? null));
  }
  return comparable(one) === comparable(two);
}

function comparable(value: string | bigint | boolean | null | Float): string | bigint | number | null {
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (!(value instanceof Float)) return value;
  return Number.isInteger(value.value) ? BigInt(value.value) : value.value;
}
