// Files that a person takes away and brings back: an encrypted one, and a plain one that says that it is plain.
import { CannotOpen, ROUNDS, fromBase64, open, passphraseKey, randomBytes, seal, toBase64 } from "./crypto.ts";
import { isRecord } from "./sse.ts";
import type { AnswerFacts, AnswerState, Conversation, Message, Outcome, Trouble } from "./tree.ts";

/** Conversations with the dossiers of their answers, by message id. */
export interface Bundle {
  readonly conversations: readonly Conversation[];
  readonly dossiers: Readonly<Record<string, string>>;
}

/** The file is not one of ours, or cannot be read. */
export class NotImportable extends Error {}

const PLAIN = "hallmark.chat/1";
const ENCRYPTED = "hallmark.chat.encrypted/1";
const PLACE = "hallmark/chat-export/v1";
const MOST_ROUNDS = 10_000_000;
const OUTCOMES: readonly Outcome[] = ["complete", "stopped", "failed", "held"];

/** The plain file: whoever has it can read it, and it says so. */
export function plainFile(bundle: Bundle): string {
  const note =
    "Not encrypted: whoever has this file can read the conversations and open the digests in their receipts.";
  return `${JSON.stringify({ format: PLAIN, note, ...bundle }, null, 1)}\n`;
}

/** The encrypted file, under a passphrase. */
export async function encryptedFile(bundle: Bundle, passphrase: string, rounds = ROUNDS): Promise<string> {
  const salt = randomBytes(16);
  const key = await passphraseKey(passphrase, salt, rounds);
  const sealed = await seal(key, PLACE, new TextEncoder().encode(JSON.stringify(bundle)));
  const members = {
    format: ENCRYPTED,
    kdf: "PBKDF2-SHA-256",
    rounds,
    salt: toBase64(salt),
    iv: toBase64(sealed.iv),
    data: toBase64(sealed.data),
  };
  return `${JSON.stringify(members, null, 1)}\n`;
}

/** Whether a file needs a passphrase. Throws NotImportable. */
export function isEncrypted(text: string): boolean {
  const format = parsed(text)["format"];
  if (format !== PLAIN && format !== ENCRYPTED)
    throw new NotImportable("This is no conversation file of this program.");
  return format === ENCRYPTED;
}

/** What a file holds. Throws NotImportable, CannotOpen (wrong passphrase). */
export async function readFile(text: string, passphrase: string): Promise<Bundle> {
  const file = parsed(text);
  if (!isEncrypted(text)) return readBundle(file);
  const { rounds, salt, iv, data } = file;
  if (
    typeof rounds !== "number" ||
    !Number.isInteger(rounds) ||
    rounds < 1 ||
    rounds > MOST_ROUNDS ||
    typeof salt !== "string" ||
    typeof iv !== "string" ||
    typeof data !== "string"
  ) {
    throw new NotImportable("The encrypted file is damaged.");
  }
  const key = await passphraseKey(passphrase, fromBase64(salt), rounds);
  const opened = await open(key, PLACE, { iv: fromBase64(iv), data: fromBase64(data) });
  return readBundle(parsed(new TextDecoder().decode(opened)));
}

/** Reads what a file says, member by member; anything unknown is dropped, anything wrong refuses the file. */
export function readBundle(value: Record<string, unknown>): Bundle {
  const { conversations, dossiers } = value;
  if (!Array.isArray(conversations) || !isRecord(dossiers)) throw damaged();
  const texts = Object.entries(dossiers).map(([id, text]): [string, string] => [id, str(text)]);
  return { conversations: conversations.map(readConversation), dossiers: Object.fromEntries(texts) };
}

function readConversation(value: unknown): Conversation {
  if (!isRecord(value) || !isRecord(value["messages"])) throw damaged();
  const messages = Object.fromEntries(
    Object.entries(value["messages"]).map(([id, message]) => [id, readMessage(id, message)]),
  );
  const conversation: Conversation = {
    id: id(value["id"]),
    title: str(value["title"]),
    named: value["named"] === true,
    created: num(value["created"]),
    updated: num(value["updated"]),
    model: str(value["model"]),
    mode: str(value["mode"]),
    policy: str(value["policy"]),
    system: str(value["system"]),
    temperature: num(value["temperature"]),
    maxTokens: num(value["maxTokens"]),
    roots: strings(value["roots"]),
    chosen: num(value["chosen"]),
    messages,
    ...pathIn(value),
  };
  requireTree(conversation);
  return conversation;
}

/** Every message hangs under exactly the parent that it names, and no path returns to itself. */
function requireTree(conversation: Conversation): void {
  const seen = new Set<string>();
  const walk = (parent: string, children: readonly string[]): void => {
    for (const child of children) {
      const message = conversation.messages[child];
      if (message === undefined || message.parent !== parent || seen.has(child)) throw damaged();
      seen.add(child);
      walk(child, message.children);
    }
  };
  walk("", conversation.roots);
  if (seen.size !== Object.keys(conversation.messages).length) throw damaged();
}

function readMessage(name: string, value: unknown): Message {
  if (!isRecord(value) || value["id"] !== name) throw damaged();
  const role = value["role"];
  if (role !== "user" && role !== "assistant") throw damaged();
  return {
    id: id(value["id"]),
    parent: str(value["parent"]),
    role,
    text: str(value["text"]),
    at: num(value["at"]),
    children: strings(value["children"]),
    chosen: num(value["chosen"]),
    answer: value["answer"] === null ? null : readAnswer(value["answer"]),
    ...pathIn(value),
  };
}

function readAnswer(value: unknown): AnswerState {
  if (!isRecord(value)) throw damaged();
  const outcome = OUTCOMES.find((known) => known === value["outcome"]) ?? "stopped";
  return {
    outcome,
    model: str(value["model"]),
    asserted: str(value["asserted"]),
    policy: str(value["policy"]),
    nonce: str(value["nonce"]),
    receipt: str(value["receipt"]),
    arrivedAt: num(value["arrivedAt"]),
    provedAt: num(value["provedAt"]),
    facts: group(value["facts"], ["label", "artifact", "provider", "node", "path", "mode"]) as AnswerFacts | null,
    trouble: group(value["trouble"], ["reason", "message", "hint", "detail"]) as Trouble | null,
    ...pathIn(value),
  };
}

/** The path that a value names; one that this page does not know refuses the file, because it might be read more plainly. */
function pathIn(value: Record<string, unknown>): { readonly path?: "sealed" } {
  const path = value["path"];
  if (path === undefined) return {};
  if (path !== "sealed") throw damaged();
  return { path };
}

function group(value: unknown, names: readonly string[]): object | null {
  if (value === null) return null;
  if (!isRecord(value)) throw damaged();
  return Object.fromEntries(names.map((name) => [name, str(value[name])]));
}

function parsed(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new NotImportable("This is no JSON file.");
  }
  if (!isRecord(value)) throw new NotImportable("This is no conversation file of this program.");
  return value;
}

function str(value: unknown): string {
  if (typeof value !== "string") throw damaged();
  return value;
}

function num(value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0) throw damaged();
  return value;
}

function id(value: unknown): string {
  const text = str(value);
  if (!/^[A-Za-z0-9-]{1,64}$/.test(text)) throw damaged();
  return text;
}

function strings(value: unknown): string[] {
  if (!Array.isArray(value)) throw damaged();
  return value.map(str);
}

function damaged(): NotImportable {
  return new NotImportable("The file is damaged: a conversation in it does not hang together.");
}

export { CannotOpen };
