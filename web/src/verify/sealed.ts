/**
 * What holds of every sealed route (verification/sealed_rules.py), and the words of the mark `route`
 * (verification/route_wording.py). "Sealed" is never more than that: beside it stands who could read all the same.
 */
import { hex0x, same, ZERO32 } from "./bytes.ts";
import type { KeyBundle, RouteRecord, SealedPath, Sealing } from "./documents.ts";
import type { Statement } from "./typed.ts";
import { short, SIMULATED } from "./words.ts";

const PATHS: readonly string[] = ["plain", "sealed", "direct"];
/** HPKE suites as route records name them (core/sealing.py). */
const SUITES: readonly string[] = ["x25519", "x-wing"].flatMap((kem) =>
  ["aes-128-gcm", "chacha20-poly1305"].map((aead) => `${kem}/hkdf-sha256/${aead}`),
);
/** The keys of a window live so much longer, ms. */
const GRACE = 120_000n;
const RELAY = /^[!-~]{0,200}$/;
/** A relay as it may be named: what else a client calls it could be read as a claim (core/sealing.py). */
const ADDRESS = /^https?:\/\/(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:\/[A-Za-z0-9._~/-]*)?$/;

/** Why a route record does not fit itself, its receipt, and the bundle where that is shown; undefined: it does. */
export function against(record: RouteRecord, receipt: Statement, bundle: KeyBundle | undefined): string | undefined {
  const { sealed, path } = record;
  if (!PATHS.includes(path)) return "route_unreadable";
  if (!sealed) return path === "sealed" ? "sealed_unsaid" : undefined;
  if (path !== "sealed") return "sealed_unexpected";
  if (!SUITES.includes(sealed.suite)) return "sealed_suite_unknown";
  if (!sealed.size || !RELAY.test(sealed.relay)) return "sealed_malformed";
  const saw = same(receipt.bytes("upstream"), ZERO32) ? ["enclave"] : ["enclave", "upstream"];
  const seen = record.saw_prompt;
  if (seen.length !== saw.length || saw.some((role, at) => role !== seen[at])) return "sealed_seen_by_other";
  if (!bundle) return undefined;
  if (!bundle.sealing) return "sealed_without_keys";
  return covers(bundle.sealing, sealed.window, receipt.number("started")) ? undefined : "sealed_other_window";
}

function covers({ since, every, count }: Sealing, window: bigint, at: bigint): boolean {
  const begin = since + window * every;
  return window < count && begin - GRACE <= at && at < begin + every + GRACE;
}

/** Who stands beside a record: the ticket's gateway, candidates, upstream, and what vouches for the enclave. */
export interface Beside {
  readonly gateway: Uint8Array | undefined;
  readonly offered: number;
  readonly upstream: string;
  readonly assurance: string;
}

/** Who saw the request on its way, and what was tried before. */
export function route(record: RouteRecord, beside: Beside): string {
  const parts = [`${record.path} path`, ...(record.sealed ? sealedWords(record, record.sealed, beside) : [])];
  parts.push(`the prompt was seen in clear by ${seenBy(record, beside).join(", ") || "nobody it names"}`);
  if (beside.offered) parts.push(`${beside.offered} candidates were offered`);
  const failed = record.attempts
    .filter((attempt) => attempt.outcome !== "answered")
    .map((attempt) => `${short(attempt.node)} ${attempt.outcome}`);
  parts.push(failed.length ? `tried before: ${failed.join(", ")}` : "no other node was tried");
  return parts.join("; ");
}

function seenBy(record: RouteRecord, { gateway, upstream }: Beside): string[] {
  const seen = record.saw_prompt.map((role) => {
    if (role === "gateway" && gateway) return `${role} ${short(gateway)}`;
    if (role === "upstream" && record.sealed && upstream) return `${role} ${upstream}`;
    return role === "node" ? `${role} ${short(record.chosen)}` : role;
  });
  if (upstream && !record.saw_prompt.some((role) => role.startsWith("upstream"))) seen.push(`upstream ${upstream}`);
  return seen;
}

function sealedWords(record: RouteRecord, sealed: SealedPath, { gateway, assurance }: Beside): string[] {
  const { configuration, window, suite } = sealed;
  const parts = [`sealed to a key of configuration ${short(configuration)}, window ${window}, suite ${suite}`];
  parts.push(relayed(sealed));
  if (gateway) parts.push(`gateway ${short(gateway)} saw a route request and not the prompt`);
  else if (record.ticket === hex0x(ZERO32)) parts.push("it came without a route ticket");
  return [...parts, host(assurance)];
}

function relayed({ relay, size }: SealedPath): string {
  const saw = `a size class of ${size} bytes and a time`;
  const named = ADDRESS.test(relay) ? `relay ${relay}` : "a relay that it names by no address,";
  if (relay) return `through ${named} by the client's word, which saw an address, ${saw}`;
  return `no relay is named, so who passed it on is not known here; whoever did saw an address, ${saw}`;
}

/** What to say of the node's host, by what is known here of the hardware. */
function host(assurance: string): string {
  const carried = "its host carried ciphertext";
  if (assurance === "hardware") return carried;
  if (assurance === "simulated") return `${carried}, but ${SIMULATED}: who runs that host could read what the enclave reads`;
  return `${carried}, but nothing here vouches for the enclave: who runs that host could read what it reads`;
}

/** What a finding says of the route beside its sentence. */
export function detail(record: RouteRecord, gateway: Uint8Array | undefined): Record<string, string> {
  const found = {
    path: record.path, gateway: gateway ? hex0x(gateway) : "", saw_prompt: record.saw_prompt.join(", "),
  };
  if (!record.sealed) return found;
  const { configuration, window, suite, size, relay } = record.sealed;
  return { ...found, configuration, window: String(window), suite, size: String(size), relay };
}
