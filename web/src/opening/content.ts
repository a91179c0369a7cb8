// What a saved receipt holds beside its proofs: the request and the answer, compared with the digests, as text to read.
import { isRecord, textOf } from "../chat/sse.ts";
import { hex0x, unhex, utf8 } from "../verify/bytes.ts";
import { openReceipt, type Dossier } from "../verify/dossier.ts";
import { requestDigest, responseDigest } from "../verify/examination.ts";
import { Receipt, structHash, type Statement } from "../verify/typed.ts";

/** One comparison: what was compared, whether it is the same, and a sentence. */
export interface Compared {
  readonly name: string;
  readonly same: boolean;
  readonly sentence: string;
}

/** The receipt's id, computed from its fields and not read from the file. */
export function idOf(dossier: Dossier): string {
  return hex0x(structHash(openReceipt(dossier)));
}

/**
 * Whether the file's receipt, request and answer are those of `receipt` (the item's, or the file's own). A receipt that is
 * another one is named with every field in which the two differ.
 */
export function compared(dossier: Dossier, receipt: Statement): Compared[] {
  const own = openReceipt(dossier);
  const lines: Compared[] = [];
  const add = (name: string, found: string, expected: string): void => {
    const agree = found === expected;
    lines.push({ name, same: agree, sentence: agree ? `${name}: the same digest, ${found}.` : `${name}: another digest. The file gives ${found}, the receipt names ${expected}.` });
  };
  if (hex0x(structHash(own)) !== hex0x(structHash(receipt))) {
    const apart = Receipt.fields.map(([name]) => name).filter((name) => text(own, name) !== text(receipt, name));
    lines.push({ name: "receipt", same: false, sentence: `receipt: the file is of another one, ${hex0x(structHash(own))}. They differ in ${apart.join(", ")}.` });
  } else lines.push({ name: "receipt", same: true, sentence: `receipt: the same, ${hex0x(structHash(own))}.` });
  const { request, response, salts } = dossier;
  const missing = (name: string): number => lines.push({ name, same: false, sentence: `${name}: the file does not hold it. Only who asked has it; a public receipt is without.` });
  if (request && salts.request) add("request", hex0x(requestDigest(unhex(salts.request), utf8(request.path), utf8(request.body)) ?? new Uint8Array(32)), hex0x(receipt.bytes("request")));
  else missing("request");
  if (response && salts.response) add("answer", hex0x(responseDigest(unhex(salts.response), utf8(response.body))), hex0x(receipt.bytes("response")));
  else missing("answer");
  return lines;
}

/** A message of the request. */
export interface Message {
  readonly role: string;
  readonly content: string;
}

/** The request's messages; one without a role when it has none that can be read. */
export function messagesOf(body: string): Message[] {
  const value = parsed(body);
  const messages = isRecord(value) ? value["messages"] : undefined;
  if (Array.isArray(messages) && messages.every(isRecord)) return messages.map((message) => ({ role: String(message["role"] ?? ""), content: contentOf(message) }));
  const prompt = isRecord(value) ? value["prompt"] : undefined;
  return [{ role: "prompt", content: typeof prompt === "string" ? prompt : body }];
}

/** The answer's text: of every choice of a JSON answer, or of a stream. */
export function answerOf(body: string): string {
  if (!body.startsWith("{")) return textOf(utf8(body));
  const value = parsed(body);
  const choices = isRecord(value) ? value["choices"] : undefined;
  const texts = Array.isArray(choices) ? choices.filter(isRecord).map((choice) => (isRecord(choice["message"]) ? contentOf(choice["message"]) : String(choice["text"] ?? ""))) : [];
  return texts.filter((each) => each !== "").join("\n\n");
}

function contentOf(message: Record<string, unknown>): string {
  const { content, ...rest } = message;
  if (typeof content === "string" && content !== "") return content;
  return JSON.stringify(content ?? rest, null, 1);
}

function text(statement: Statement, name: string): string {
  const at = Receipt.fields.find(([each]) => each === name)?.[1] ?? "";
  return at === "bytes32" || at === "address" ? hex0x(statement.bytes(name)) : String(statement.number(name));
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
