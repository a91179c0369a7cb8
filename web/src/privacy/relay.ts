/** A relay as a client sees it: what it says of itself, and one sealed exchange through it. Nothing that it says is believed. */
import { concat, EMPTY, hex0x, sha256, unbase64, utf8 } from "../verify/bytes.ts";
import { HallmarkError, translated } from "../verify/errors.ts";
import { parseJSON } from "../verify/json.ts";
import { integer, list, struct, text, withDefault, type Of } from "../verify/schema.ts";
import { AES_128_GCM, CHACHA20_POLY1305 } from "./aead.ts";
import { encodeRequest, ResponseParser, type Head, type Request } from "./binary-http.ts";
import { chosen, decodeConfigurations } from "./key-configurations.ts";
import { KEMS } from "./kem.ts";
import { CHUNKED_REQUEST, CHUNKED_RESPONSE, ClientRequest, RANDOM, truncated } from "./ohttp.ts";
import { FrameReader, PADDED, padRequest } from "./padding.ts";

const KNOWN = [AES_128_GCM, CHACHA20_POLY1305];
const MOST_TOLD = 1 << 16;

const string = text();
const InfoType = struct(
  {
    name: string,
    network: string,
    configurations: string,
    digest: string,
    nodes: withDefault(list(struct({ node: string }, true)), []),
    kept: withDefault(
      struct({ address_hashes_s: withDefault(integer, 0n), content_s: withDefault(integer, 0n), pairs_s: withDefault(integer, 0n) }, true),
      { address_hashes_s: 0n, content_s: 0n, pairs_s: 0n },
    ),
  },
  true,
);

/** What a relay says of itself (GET /v1/relay). */
export type RelayInfo = Of<typeof InfoType>;

/** How a capsule is made: to whom, by which keys (application/ohttp-keys), and what is inside. */
export interface Capsule {
  /** `gateway`, or a node's address as 0x-hex. */
  readonly to: string;
  readonly keys: Uint8Array;
  readonly request: Request;
  readonly signal: AbortSignal | null;
  /** Gets the answer's content as it is opened, once its head is known. */
  readonly onContent?: (content: Uint8Array, head: Head) => void;
}

/** An opened answer, whole, and what was known of the request outside: its suite and its size in bytes. */
export interface Opened {
  readonly head: Head;
  readonly content: Uint8Array<ArrayBuffer>;
  readonly suite: string;
  readonly size: number;
}

/** Reads GET /v1/relay. Throws `relay_unreadable`. */
export function readInfo(body: string): RelayInfo {
  return translated(() => InfoType.read(parseJSON(body)), () => new HallmarkError("relay_unreadable", "The relay does not say what it is."));
}

/** The gateway's key configurations that a relay hands out. Throws `relay_unreadable`, `relay_no_keys`. */
export function keysOf(info: RelayInfo): Uint8Array {
  const blob = translated(() => unbase64(info.configurations), () => new HallmarkError("relay_unreadable", "The relay's keys cannot be read."));
  if (blob.length === 0) throw new HallmarkError("relay_no_keys", "The relay has not got the gateway's keys yet.", "Try again shortly.");
  return blob;
}

/** A relay at an address. */
export class Relay {
  readonly url: string;

  constructor(url: string) {
    this.url = url.replace(/\/+$/, "");
  }

  /** What it says of itself. Throws `relay_unreachable`, `relay_unreadable`. */
  async info(signal: AbortSignal | null = null): Promise<RelayInfo> {
    const response = await reached(fetch(`${this.url}/v1/relay`, { signal, credentials: "omit", cache: "no-store" }));
    if (!response.ok) throw await refused(response);
    return readInfo(await reached(response.text()));
  }

  /**
   * Seals a request, sends it, and opens the answer as it comes. Throws `relay_unreachable`, `key_configuration_stale`,
   * `sealed_unreadable`, `relay_wants_token`, `relay_refused`, `sealed_in_clear`, `sealed_truncated`, `sealed_tampered`, `bad_binary_http`;
   * AbortError when stopped. What came before an error was opened and is real, but it is no answer.
   */
  async exchange({ to, keys, request, signal, onContent }: Capsule): Promise<Opened> {
    const [configuration, suite] = chosen(decodeConfigurations(keys), KNOWN);
    const sealing = await ClientRequest.to(configuration, suite, crypto.getRandomValues(new Uint8Array(RANDOM)));
    const inner = padRequest(encodeRequest(request));
    const body = concat(sealing.header, await sealing.seal(inner, true)) as Uint8Array<ArrayBuffer>;
    const sent = { method: "POST", headers: { "content-type": CHUNKED_REQUEST }, body, signal, credentials: "omit", cache: "no-store" } as const;
    const response = await reached(fetch(`${this.url}/v1/relay/${to}`, sent));
    if (!response.ok) throw await refused(response);
    if ((response.headers.get("content-type") ?? "").split(";")[0]?.trim() !== CHUNKED_RESPONSE || response.body === null) {
      throw new HallmarkError(
        "sealed_in_clear",
        "What the relay answered with is not sealed, so it did not come from whom this page asked, and is not shown.",
        "Use another relay.",
      );
    }
    const opened = await open(response.body.getReader(), sealing, onContent ?? (() => undefined));
    return { ...opened, suite: `${KEMS.get(suite.kem)?.name ?? ""} ${suite.aead === AES_128_GCM ? "AES-128-GCM" : "ChaCha20-Poly1305"}`, size: inner.length };
  }
}

/** The digest by which a route record names key configurations; 0x-hex. */
export function digestOfKeys(keys: Uint8Array): string {
  return hex0x(sha256(keys));
}

async function open(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  sealing: ClientRequest,
  onContent: (content: Uint8Array, head: Head) => void,
): Promise<{ head: Head; content: Uint8Array<ArrayBuffer> }> {
  const [chunks, parser, frames] = [sealing.response(), new ResponseParser(), new FrameReader()];
  const whole: Uint8Array[] = [];
  let padded = false;
  const take = (piece: Uint8Array): void => {
    const coded = parser.feed(piece);
    if (!parser.head || coded.length === 0) return;
    padded = codingOf(parser.head);
    const content = padded ? frames.feed(coded) : coded;
    if (content.length === 0) return;
    whole.push(content.slice());
    onContent(content, parser.head);
  };
  try {
    for (;;) {
      const { done, value } = await cutOff(reader.read());
      if (done) break;
      for (const piece of await chunks.feed(value)) take(piece);
    }
    take(await chunks.end());
    parser.end();
  } catch (error) {
    void reader.cancel().catch(() => undefined);
    throw error;
  }
  if (padded) frames.end();
  if (!parser.head) throw truncated();
  return { head: parser.head, content: (whole.length === 0 ? EMPTY.slice() : concat(...whole)) as Uint8Array<ArrayBuffer> };
}

function codingOf(head: Head): boolean {
  const coding = head.headers.get("content-encoding") ?? "";
  if (coding !== "" && coding !== "identity" && coding !== PADDED) {
    throw new HallmarkError("bad_binary_http", "The sealed answer has a coding that this page did not ask for.");
  }
  return coding === PADDED;
}

/** A relay that cannot be reached; a stop by the person passes through as it is. */
async function reached<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new HallmarkError(
      "relay_unreachable",
      "The relay cannot be reached. Nothing was sent another way.",
      "Ask again when it answers, or begin a new conversation and choose the path there yourself.",
    );
  }
}

/** The connection broke while an answer came. */
async function cutOff<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw isAbort(error) ? error : truncated();
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

const TOLD: Readonly<Record<string, readonly [message: string, hint: string]>> = {
  key_configuration_stale: ["The keys that this page sealed to are not in use any more.", "Ask again: the page then gets the new ones."],
  sealed_unreadable: ["The other end could not open what this page sealed: it was changed on its way, or sent twice.", "Ask again, through another relay if it happens twice."],
};

async function refused(response: Response): Promise<HallmarkError> {
  const told = utf8(await response.text().catch(() => "")).slice(0, MOST_TOLD);
  let code = "";
  try {
    const value = JSON.parse(new TextDecoder().decode(told)) as { error?: { code?: unknown } };
    code = typeof value.error?.code === "string" ? value.error.code : "";
  } catch {
    // No JSON: then it says nothing.
  }
  if (code === "relay_token_missing" || code === "relay_token_invalid") {
    return new HallmarkError(
      "relay_wants_token",
      "This relay takes a question with a Privacy Pass token alone, and this page gets none. Nothing was sent another way.",
      "Use another relay, or the local proxy with --relay-issuer.",
    );
  }
  const known = TOLD[code];
  if (known) return new HallmarkError(code, ...known);
  const said = /^[a-z0-9_]{1,64}$/.test(code) ? code : `HTTP ${response.status}`;
  return new HallmarkError("relay_refused", `The relay passed nothing on: by its word, ${said}. Nothing was sent another way.`, "Ask again later.");
}
