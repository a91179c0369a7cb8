/** Asking through a relay: which node, by whose word checked how, and the exchange itself. No other way is ever taken. */
import { base64, EMPTY, readUTF8, utf8 } from "../verify/bytes.ts";
import { HallmarkError } from "../verify/errors.ts";
import type { Trust } from "../verify/trust.ts";
import type { Field, Head, Request } from "./binary-http.ts";
import { checkNode, checkOffer, drawn, readNode, readRoute, type CheckedNode, type Offer, type SealableNode, type ToldNode } from "./node.ts";
import { PADDED } from "./padding.ts";
import { digestOfKeys, keysOf, Relay, type Opened } from "./relay.ts";

/** Sealed requests name no host: the key that they are sealed to says for whom they are. */
const AUTHORITY = "hallmark.invalid";

/** A way to a node, checked: the ticket that offers it, and its keys. */
export interface Way extends SealableNode {
  readonly offer: Offer;
  readonly relay: string;
  /** SHA-256 of the keys, as route records name it (0x-hex). */
  readonly configuration: string;
}

/** An answer that is no success: status and body as they were opened. */
export class Answered extends Error {
  readonly status: number;
  readonly body: string;

  constructor(status: number, body: string) {
    super(`status ${status}`);
    this.status = status;
    this.body = body;
  }
}

/** One relay and one trust file. */
export class SealedClient {
  private readonly relay: Relay;
  private readonly trust: Trust;
  /** The gateway's own word on its keys (application/ohttp-keys), to hold against the relay's. */
  private readonly published: () => Promise<Uint8Array>;
  private readonly known = new Map<string, string>();
  private keys: Uint8Array | undefined;

  constructor(url: string, trust: Trust, published: () => Promise<Uint8Array>) {
    this.relay = new Relay(url);
    this.trust = trust;
    this.published = published;
  }

  /** The gateway's answer to a GET, through the relay. Throws Answered, HallmarkError; AbortError when stopped. */
  async get(path: string, signal: AbortSignal | null): Promise<Uint8Array<ArrayBuffer>> {
    return this.gateway("GET", path, EMPTY, signal);
  }

  /** Hands in the log entry of an own receipt, through the relay: no gateway saw the answer. Throws as `get`. */
  async submit(entry: Uint8Array): Promise<void> {
    await this.gateway("POST", "/v1/hallmark/receipts", entry, null, [202]);
  }

  /**
   * A node for a model, drawn at random by this page. Every candidate is asked about and checked, so that the gateway neither
   * learns which one it is nor can leave only one. Throws as `get`, and with the reasons of node.ts.
   */
  async choose(model: string, mode: string, signal: AbortSignal | null): Promise<Way> {
    const asked = utf8(JSON.stringify({ model, ...(mode === "" ? {} : { mode }) }));
    const route = readRoute(await this.gateway("POST", "/v1/hallmark/route", asked, signal));
    const offer = checkOffer(route, this.trust, model, BigInt(Date.now()));
    const told = await Promise.all(offer.nodes.map(async ({ node }) => readNode(await this.get(`/v1/hallmark/nodes/${node}`, signal))));
    // Every one is checked: a gateway that could spoil all but one would choose who answers.
    const now = BigInt(Date.now());
    const checked = offer.nodes.map((each, at) => checkNode(told[at] as ToldNode, each, this.trust, now));
    for (const each of checked) this.only(each);
    const takers = checked.filter((each): each is SealableNode => each.keys !== undefined);
    const node = takers[takers.length === 0 ? 0 : drawn(takers.length, () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0)];
    if (!node) throw new HallmarkError("no_sealed_node", "No node that serves this model takes requests of this kind just now.", "Nothing was sent.");
    return { ...node, offer, relay: this.relay.url, configuration: digestOfKeys(node.keys) };
  }

  /** One request to the node of a way, its answer opened as it comes. Throws as `Relay.exchange`. */
  async ask(way: Way, path: string, headers: readonly Field[], body: Uint8Array, more: { signal: AbortSignal | null; onContent?: (content: Uint8Array, head: Head) => void }): Promise<Opened> {
    const { offer } = way;
    const route: Field[] = [
      ["hallmark-ticket", base64(offer.ticket)],
      ["hallmark-candidates", base64(utf8(offer.candidates))],
      ["hallmark-relay", way.relay],
    ];
    const fields = [...headers, ...route, ["accept-encoding", PADDED] as const];
    const request = requestTo("POST", path, fields, body);
    return this.relay.exchange({ to: way.node, keys: way.keys, request, ...more });
  }

  /** One bundle for a node and epoch, as long as this page lives. */
  private only({ node, epoch, bundle }: CheckedNode): void {
    const name = `${node} ${epoch}`;
    const known = this.known.get(name) ?? bundle;
    if (known !== bundle) throw new HallmarkError("bundle_not_the_only_one", "The node was shown with two key bundles for one epoch.", "Nothing was sent. Tell the network's operators.");
    this.known.set(name, bundle);
  }

  private async gateway(method: string, path: string, body: Uint8Array, signal: AbortSignal | null, fine = [200]): Promise<Uint8Array<ArrayBuffer>> {
    this.keys ??= await this.gatewayKeys(signal);
    const fields: Field[] = [["accept-encoding", PADDED], ...(body.length === 0 ? [] : [["content-type", path.endsWith("/route") ? "application/json" : "application/octet-stream"] as const])];
    const request = requestTo(method, path, fields, body);
    let opened: Opened;
    try {
      opened = await this.relay.exchange({ to: "gateway", keys: this.keys, request, signal });
    } catch (error) {
      // A gateway that began anew has other keys: the next question asks for them.
      if (error instanceof HallmarkError && error.reason === "key_configuration_stale") this.keys = undefined;
      throw error;
    }
    if (!fine.includes(opened.head.status)) throw new Answered(opened.head.status, readUTF8(opened.content) ?? "");
    return opened.content;
  }

  /** The relay's word on the gateway's keys, which must be the gateway's own. */
  private async gatewayKeys(signal: AbortSignal | null): Promise<Uint8Array> {
    const keys = keysOf(await this.relay.info(signal));
    const published = await this.published();
    if (digestOfKeys(published) !== digestOfKeys(keys)) {
      throw new HallmarkError(
        "relay_other_keys",
        "The relay hands out other keys for the gateway than the gateway itself does, so one of them would read what is meant for the other.",
        "Nothing was sent. If the gateway has just begun anew, try again in a minute.",
      );
    }
    return keys;
  }
}

function requestTo(method: string, path: string, headers: readonly Field[], content: Uint8Array): Request {
  const length: readonly Field[] = content.length === 0 ? [] : [["content-length", String(content.length)]];
  return { method, scheme: "https", authority: AUTHORITY, path, headers: [...headers, ...length], content };
}
