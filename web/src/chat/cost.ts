// What a conversation has cost so far, by the payment records of its answers, and what the chosen model costs, by its offers.
import type { Asset } from "../verify/documents.ts";
import { amount } from "../verify/payment-words.ts";
import { documentOf } from "./dossier.ts";
import type { RawMembers } from "./rawjson.ts";
import { isRecord } from "./sse.ts";

/** This page holds no wallet key. */
export const SIGNS_NOTHING = "This page signs no payments";
/** What somebody can do who wants an answer that has a price. */
export const PAY_ELSEWHERE =
  'Ask in a terminal with hallmark ask --pay "...", which pays from a wallet (once before: hallmark wallet new, fund, deposit), or from Python. ' +
  "Who runs this network makes small requests free with hallmark up --small-free.";
export const ADDRESS = /^0x[0-9a-f]{40}$/;
const COUNTED = [
  ["million_tokens_in", "a million tokens in"],
  ["million_tokens_out", "a million tokens out"],
  ["image", "an image"],
  ["second", "a second begun"],
  ["call", "a call"],
] as const;

/** An offer in force, as the gateway lists it. */
export type Offer = Readonly<Record<string, unknown>>;

/** What the answers behind these dossiers cost together, in a sentence; "" when there is none. */
export function costWords(dossiers: readonly RawMembers[]): string {
  const sums = new Map<string, { asset: Asset | null; units: bigint; answers: number }>();
  const [free, unnamed] = [[] as RawMembers[], [] as RawMembers[]];
  for (const dossier of dossiers) {
    const record = documentOf(dossier, "payment");
    if (record["rail"] === "free") free.push(dossier);
    else if (typeof record["charged"] !== "string" || !/^[0-9]{1,29}$/.test(record["charged"])) unnamed.push(dossier);
    else {
      const asset = assetOf(record["asset"]);
      const sum = sums.get(asset?.address ?? "") ?? { asset, units: 0n, answers: 0 };
      sums.set(asset?.address ?? "", { asset, units: sum.units + BigInt(record["charged"]), answers: sum.answers + 1 });
    }
  }
  const parts = [...sums.values()].map(({ asset, units, answers }) => `${shown(units, asset)} charged for ${count(answers)}`);
  if (free.length) parts.push(`${count(free.length)} for nothing, by the offer`);
  if (unnamed.length) parts.push(`${count(unnamed.length)} without a payment record`);
  return parts.length ? `So far, by the answers' payment records: ${parts.join("; ")}.` : "";
}

/** What asking a model costs, in a sentence, and that this page does not sign where it is not free. */
export function priceWords(label: string, offers: readonly Offer[]): string {
  const found = offers.filter((offer) => modelsOf(offer).includes(label));
  if (!found.length) return "No offer is in force for this model: nobody is charged.";
  const told = found.map((offer) => {
    const free = isRecord(offer["free"]) ? offer["free"] : {};
    const models = Array.isArray(free["models"]) ? free["models"] : [];
    if (free["everything"] === true || models.includes(label)) return "It answers for nothing, by the offer of its node's owner.";
    const price = priceIn(offer, label);
    const [most, out] = [numberIn(free, "tokens_in"), numberIn(free, "tokens_out")];
    const small = most || out ? `Requests of at most ${most} tokens in and ${out} out for nothing. Above that ` : "It costs ";
    if (price === "") return most || out ? `${small}it is not served.` : "Its owner's offer has no price for it.";
    return `${small}${most || out ? "it costs " : ""}${price}. ${SIGNS_NOTHING}, so what has a price is not answered here. ${PAY_ELSEWHERE}`;
  });
  return [...new Set(told)].join(" ");
}

/** What an account page's JSON says is left, in a sentence. */
export function leftWords(account: unknown): string {
  const balances = isRecord(account) && Array.isArray(account["balances"]) ? account["balances"].filter(isRecord) : [];
  if (!balances.length) {
    const chain = isRecord(account) && typeof account["chain"] === "string" ? account["chain"] : "";
    return `No vault account of this address is known. ${chain}`.trim();
  }
  const told = balances.map((one) => {
    const real = one["development"] === true ? " (development money, worth nothing)" : "";
    const leases = numberIn(one, "leases");
    return `${String(one["shown"])}${real} in no lease${leases ? `, beside ${leases} open lease${leases > 1 ? "s" : ""}` : ""}`;
  });
  return `Left: ${told.join("; ")}.`;
}

function priceIn(offer: Offer, label: string): string {
  const prices = Array.isArray(offer["prices"]) ? offer["prices"].filter(isRecord) : [];
  const price = prices.find((one) => one["label"] === label);
  if (!price) return "";
  const asset = assetOf(offer["asset"]);
  return COUNTED.flatMap(([name, what]) => {
    const units = numberIn(price, name);
    return units ? [`${shown(BigInt(units), asset)} for ${what}`] : [];
  }).join(", ");
}

function modelsOf(offer: Offer): string[] {
  const nodes = Array.isArray(offer["nodes"]) ? offer["nodes"].filter(isRecord) : [];
  return nodes.flatMap((node) => (Array.isArray(node["models"]) ? node["models"].map(String) : []));
}

function assetOf(value: unknown): Asset | null {
  if (!isRecord(value)) return null;
  const text = (name: string): string => (typeof value[name] === "string" ? value[name] : "");
  const [decimals, chain] = [numberIn(value, "decimals"), numberIn(value, "chain_id")];
  return {
    chain_id: BigInt(chain),
    address: text("address"),
    decimals: BigInt(decimals),
    symbol: text("symbol"),
    name: text("name"),
    version: text("version"),
    development: value["development"] === true,
  };
}

function shown(units: bigint, asset: Asset | null): string {
  return `${amount(units, asset)}${asset?.development ? " (development money)" : ""}`;
}

function numberIn(value: Readonly<Record<string, unknown>>, name: string): number {
  const found = value[name];
  return typeof found === "number" && Number.isSafeInteger(found) ? found : 0;
}

function count(answers: number): string {
  return `${answers} answer${answers === 1 ? "" : "s"}`;
}
