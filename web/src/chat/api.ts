// Calls to the gateway that this page came from.
import { PAY_ELSEWHERE, SIGNS_NOTHING } from "./cost.ts";
import { PATH, requestHeaders } from "./request.ts";
import { EventSplitter, isRecord, readPiece } from "./sse.ts";
import type { Trouble } from "./tree.ts";

/** Something that went wrong, as it is shown: reason, sentence, what to do, and the rest to copy. */
export class Failed extends Error {
  readonly trouble: Trouble;
  readonly body: Record<string, unknown>;

  constructor(trouble: Trouble, body: Record<string, unknown> = {}) {
    super(trouble.message);
    this.trouble = trouble;
    this.body = body;
  }
}

const UNSIGNED = `${SIGNS_NOTHING}. ${PAY_ELSEWHERE}`;

/** A model as the gateway lists it. `artifact` is empty where a provider merely asserts its model. */
export interface Model {
  readonly id: string;
  readonly artifact: string;
  readonly version: string;
  readonly task: string;
  readonly description: string;
  readonly provider: string;
  readonly nodes: number;
  readonly capacity: number;
  readonly modes: readonly string[];
  readonly excluded: Readonly<Record<string, number>>;
}

/** One request: exact text and headers, and where its pieces go. */
export interface Asking {
  readonly text: string;
  readonly nonce: string;
  readonly policy: string;
  readonly mode: string;
  readonly signal: AbortSignal;
  readonly onText: (text: string) => void;
}

/** The models that can be asked for now. Throws Failed. */
export async function listModels(): Promise<Model[]> {
  const found = await getJSON("/v1/models");
  const data = found["data"];
  return Array.isArray(data) ? data.filter(isRecord).map(readModel) : [];
}

/** The trust file's exact text, as JSON. Throws Failed. */
export async function fetchTrust(): Promise<string> {
  return (await get("/v1/hallmark/trust.json")).text();
}

/** The offers in force. Throws Failed. */
export async function fetchOffers(): Promise<Record<string, unknown>[]> {
  const offers = (await getJSON("/v1/hallmark/offers"))["offers"];
  return Array.isArray(offers) ? offers.filter(isRecord) : [];
}

/** The explorer's page of an address, as JSON. Throws Failed. */
export async function fetchAccount(address: string): Promise<Record<string, unknown>> {
  return getJSON(`/explore/accounts/${address}.json`);
}

/** The network's news of a receipt as exact text, after waiting until it is witnessed or `timeout` ms passed. Throws Failed. */
export async function fetchNews(id: string, timeout: number, signal: AbortSignal): Promise<string> {
  return (await get(`/v1/hallmark/receipts/${id}?wait=witnessed&timeout=${timeout}`, signal)).text();
}

/** Asks, hands text on as it comes, and returns every byte of the answer. Throws Failed; AbortError when stopped. */
export async function ask(asking: Asking): Promise<Uint8Array<ArrayBuffer>> {
  const response = await send(asking);
  if (!response.ok || response.body === null) throw await refusal(response);
  const splitter = new EventSplitter();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await read(reader);
    if (done) return splitter.bytes();
    let text = "";
    for (const payload of splitter.feed(value)) {
      const piece = readPiece(payload);
      if (piece.kind === "text") text += piece.text;
      if (piece.kind === "error") throw new Failed(troubleOf(piece.error, 200));
    }
    if (text !== "") asking.onText(text);
  }
}

/** Asks the node to stop the answer with this nonce: its stream then ends with a receipt over what left. False when it could not. */
export async function stopAnswer(nonce: string): Promise<boolean> {
  try {
    const asked = { method: "POST", headers: { "hallmark-nonce": nonce }, credentials: "omit", cache: "no-store" } as const;
    return (await fetch("/v1/hallmark/stop", asked)).ok;
  } catch {
    return false;
  }
}

/** An error body as it is shown. */
export function troubleOf(body: unknown, status: number): Trouble {
  const error = isRecord(body) && isRecord(body["error"]) ? body["error"] : {};
  const text = (name: string): string => (typeof error[name] === "string" ? error[name] : "");
  return {
    reason: text("code") || `http_${status}`,
    message: withoutHint(text("message"), text("hint")) || "The gateway answered with an error that says nothing more.",
    hint: status === 402 ? UNSIGNED : text("hint"),
    detail: JSON.stringify({ status, body }, null, 1),
  };
}

/** A message without the hint at its end: it stands there too, for clients that show nothing else. */
function withoutHint(message: string, hint: string): string {
  return message.endsWith(hint) ? message.slice(0, message.length - hint.length).trimEnd() : message;
}

async function send(asking: Asking): Promise<Response> {
  const headers = requestHeaders(asking.nonce, asking.policy, asking.mode);
  try {
    return await fetch(PATH, {
      method: "POST",
      headers,
      body: asking.text,
      signal: asking.signal,
      credentials: "omit",
      cache: "no-store",
    });
  } catch (error) {
    throw unreachable(error);
  }
}

async function read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<ReadableStreamReadResult<Uint8Array>> {
  try {
    return await reader.read();
  } catch (error) {
    throw unreachable(error);
  }
}

async function get(path: string, signal: AbortSignal | null = null): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { signal, credentials: "omit", cache: "no-store" });
  } catch (error) {
    throw unreachable(error);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function getJSON(path: string): Promise<Record<string, unknown>> {
  const value: unknown = await (await get(path)).json();
  return isRecord(value) ? value : {};
}

async function refusal(response: Response): Promise<Failed> {
  const text = await response.text().catch(() => "");
  let body: unknown = text;
  try {
    body = JSON.parse(text);
  } catch {
    // An answer that is no JSON is shown as the text that it is.
  }
  const trouble = troubleOf(body, response.status);
  return new Failed(trouble, isRecord(body) && isRecord(body["error"]) ? body["error"] : {});
}

/** A connection that failed; a stop by the person passes through as it is. */
function unreachable(error: unknown): unknown {
  if (error instanceof DOMException && error.name === "AbortError") return error;
  return new Failed({
    reason: "connection_lost",
    message: "The connection to this gateway broke off.",
    hint: "Ask again. If the node had finished, its receipt is in the log, and no answer belongs to it.",
    detail: String(error),
  });
}

/** A model of the gateway's list. */
export function readModel(value: Record<string, unknown>): Model {
  const facts = isRecord(value["hallmark"]) ? value["hallmark"] : {};
  const text = (name: string): string => (typeof facts[name] === "string" ? facts[name] : "");
  const number = (name: string): number => (typeof facts[name] === "number" ? facts[name] : 0);
  const modes = facts["modes"];
  return {
    id: String(value["id"] ?? ""),
    artifact: text("artifact"),
    version: text("version"),
    task: text("task"),
    description: text("description"),
    provider: text("provider") || text("upstream"),
    nodes: number("nodes"),
    capacity: number("capacity"),
    modes: Array.isArray(modes) ? modes.map(String) : [],
    excluded: isRecord(facts["excluded"]) ? (facts["excluded"] as Record<string, number>) : {},
  };
}
