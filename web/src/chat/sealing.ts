// The sealed way out of this page: whether it is open, and asking, stopping and following through the relay. What sealing takes is
// loaded when it is needed.
import type { SealedClient, Way } from "../privacy/client.ts";
import type { RelayInfo } from "../privacy/relay.ts";
import { utf8 } from "../verify/bytes.ts";
import { HallmarkError } from "../verify/errors.ts";
import { parseTrust } from "../verify/trust.ts";
import { Failed, troubleOf, type Asking } from "./api.ts";
import { documentOf } from "./dossier.ts";
import { PATH } from "./request.ts";
import { textAt, type RawMembers } from "./rawjson.ts";
import { EventSplitter, readPiece } from "./sse.ts";
import type { SealedAsking } from "./runs.ts";

const LOOK_AGAIN_MS = 10_000;
const WAIT_MS = 10_000;
const WAYS_KEPT = 32;
/** Who may have seen a sealed question in clear, as route records name them. */
const SEE_IT: readonly string[] = ["enclave", "enclave upstream"];

/** See the head of this file. */
export class Sealing {
  /** The relay's address; "" where this server names none. */
  readonly relay: string;
  /** Why nothing can be sealed here now; "" when it can. */
  why: string;
  /** What the relay says of itself, once it did. */
  info: RelayInfo | undefined;
  private readonly changed: () => void;
  private trust = "";
  private looked = 0;
  private client: Promise<SealedClient> | undefined;
  /** Ways of the newest requests by nonce, so that they can be stopped. */
  private readonly ways = new Map<string, Way>();

  /** `changed` is called when whether something can be sealed has changed. */
  constructor(relay: string, changed: () => void) {
    this.relay = relay;
    this.changed = changed;
    this.why = blocked(relay) || "Whether the relay answers is being asked.";
  }

  /** The trust file by which nodes are judged from now on. */
  use(trust: string): void {
    this.trust = trust;
    this.client = undefined;
  }

  /** The relay's host, as it is shown. */
  get host(): string {
    return hostOf(this.relay);
  }

  /** Asks the relay what it is, at most every 10 s. */
  async look(): Promise<void> {
    if (blocked(this.relay) !== "" || Date.now() - this.looked < LOOK_AGAIN_MS) return;
    this.looked = Date.now();
    try {
      const { Relay } = await import("../privacy/relay.ts");
      this.info = await new Relay(this.relay).info();
      this.why = this.info.nodes.length === 0 ? "No node takes requests of this kind just now." : "";
    } catch (error) {
      this.why = `The relay ${this.host} cannot be used: ${error instanceof Error ? error.message : String(error)}`;
    }
    this.changed();
  }

  /** A node for a model, checked. Throws HallmarkError, Failed; AbortError when stopped. */
  async prepare(model: string, mode: string, signal: AbortSignal): Promise<Way> {
    return opened(async () => (await this.ready()).choose(model, mode, signal));
  }

  /** How a question for `model` is asked over a way, or over one that is looked for first. */
  asking(model: string, prepared: Way | undefined): SealedAsking {
    let way = prepared;
    const once = async (asking: Asking): Promise<Uint8Array<ArrayBuffer>> => {
      way ??= await this.prepare(model, asking.mode, asking.signal);
      this.keep(asking.nonce, way);
      return this.exchange(way, asking);
    };
    const ask = async (asking: Asking): Promise<Uint8Array<ArrayBuffer>> => {
      try {
        return await once(asking);
      } catch (error) {
        // The node's keys of the window before: sealed once more to those of this one.
        if (!(error instanceof HallmarkError) || error.reason !== "key_configuration_stale") throw error;
        way = undefined;
        return await once(asking);
      }
    };
    return { ask, check: (dossier) => check(dossier, way) };
  }

  /** Asks the node, sealed, to stop the answer with this nonce. False when it could not. */
  async stop(nonce: string): Promise<boolean> {
    const way = this.ways.get(nonce);
    if (way === undefined) return false;
    try {
      const client = await this.ready();
      const { head } = await client.ask(way, "/v1/hallmark/stop", [["hallmark-nonce", nonce]], new Uint8Array(), { signal: null });
      return head.status === 200;
    } catch {
      return false;
    }
  }

  /**
   * Hands a sealed answer's receipt in, so that its proof can be asked for. When that fails nothing is lost: the node's host
   * gives the log the same entry, and the page says what the gateway says of it.
   */
  async submit(dossier: string): Promise<void> {
    try {
      const { entryOf } = await import("../privacy/entry.ts");
      await (await this.ready()).submit(entryOf(dossier));
    } catch {
      // Told by whoever asks for the proof.
    }
  }

  /** The network's news of a receipt, asked for through the relay. Throws Failed. */
  async news(id: string, timeout: number, signal: AbortSignal): Promise<string> {
    const wait = Math.min(timeout, WAIT_MS);
    return opened(async () => {
      const body = await (await this.ready()).get(`/v1/hallmark/receipts/${id}?wait=witnessed&timeout=${wait}`, signal);
      return new TextDecoder().decode(body);
    });
  }

  private async exchange(way: Way, asking: Asking): Promise<Uint8Array<ArrayBuffer>> {
    const client = await this.ready();
    const splitter = new EventSplitter();
    const onContent = (content: Uint8Array, { status }: { readonly status: number }): void => {
      if (status !== 200) return;
      let text = "";
      for (const payload of splitter.feed(content)) {
        const piece = readPiece(payload);
        if (piece.kind === "text") text += piece.text;
        if (piece.kind === "error") throw new Failed(troubleOf(piece.error, 200));
      }
      if (text !== "") asking.onText(text);
    };
    const headers = [["content-type", "application/json"], ["hallmark-nonce", asking.nonce]] as const;
    const { head, content } = await client.ask(way, PATH, headers, utf8(asking.text), { signal: asking.signal, onContent });
    if (head.status !== 200) throw answered(head.status, new TextDecoder().decode(content));
    return content;
  }

  private keep(nonce: string, way: Way): void {
    this.ways.set(nonce, way);
    for (const old of this.ways.keys()) if (this.ways.size > WAYS_KEPT) this.ways.delete(old);
  }

  private ready(): Promise<SealedClient> {
    const blocking = blocked(this.relay);
    if (blocking !== "") return Promise.reject(new HallmarkError("sealing_impossible", blocking, "Nothing was sent another way."));
    if (this.trust === "") {
      return Promise.reject(new HallmarkError("no_trust_file", "There is no trust file, so no node can be checked.", "Nothing was sent."));
    }
    this.client ??= this.made(this.trust);
    return this.client;
  }

  private async made(trust: string): Promise<SealedClient> {
    const { SealedClient } = await import("../privacy/client.ts");
    return new SealedClient(this.relay, parseTrust(trust), gatewayKeys);
  }
}

/** Why this page cannot seal, whatever others do; "" when it can. */
function blocked(relay: string): string {
  if (!globalThis.isSecureContext) return "This page came without HTTPS and not from this machine, so whoever passed it on could have changed it, and browsers seal nothing in it.";
  if (globalThis.crypto?.subtle === undefined) return "This browser has no WebCrypto here.";
  if (relay === "") return "This server names no relay.";
  if (hostOf(relay) === "") return "The relay's address that this server names is none.";
  if (location.protocol === "https:" && !relay.startsWith("https:")) return "The relay that this server names has no HTTPS.";
  return "";
}

function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return "";
  }
}

/** The keys that the gateway itself hands out: the relay must hand out the same. */
async function gatewayKeys(): Promise<Uint8Array> {
  try {
    const response = await fetch("/v1/hallmark/ohttp-keys", { credentials: "omit", cache: "no-store" });
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch {
    // Told below.
  }
  throw new HallmarkError("gateway_keys_unknown", "The gateway does not say which keys are its own, so the relay's word on them cannot be compared.", "Nothing was sent.");
}

/** An answer of the gateway's that is no success, as it is shown elsewhere. */
async function opened<T>(work: () => Promise<T>): Promise<T> {
  const { Answered } = await import("../privacy/client.ts");
  try {
    return await work();
  } catch (error) {
    throw error instanceof Answered ? answered(error.status, error.body) : error;
  }
}

function answered(status: number, body: string): Failed {
  let value: unknown = body;
  try {
    value = JSON.parse(body);
  } catch {
    // Shown as the text that it is.
  }
  return new Failed(troubleOf(value, status));
}

/** The receipt says that the question came the way that it went: sealed to these keys, at this node, under this ticket. */
function check(dossier: RawMembers, way: Way | undefined): void {
  const route = documentOf(dossier, "route");
  const sealed = route["sealed"] as { readonly configuration?: unknown; readonly relay?: unknown } | undefined;
  const holds =
    way !== undefined && textAt(dossier, "receipt", "node") === way.node && route["path"] === "sealed" &&
    route["ticket"] === way.offer.digest && sealed?.configuration === way.configuration && sealed.relay === way.relay &&
    Array.isArray(route["saw_prompt"]) && SEE_IT.includes(route["saw_prompt"].join(" "));
  if (holds) return;
  throw new HallmarkError(
    "route_mismatch",
    "The receipt names another way than the one that the question went, so its answer is not shown.",
    "Keep nothing of it. Ask again.",
  );
}
