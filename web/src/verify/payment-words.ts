/** The plain words of payments (verification/payment_wording.py): what was charged for what, and never more. */
import type { Asset, Payment, Price } from "./documents.ts";
import type { KeySet, TokenSpend } from "./tokens.ts";
import { short } from "./words.ts";

const SYMBOL = /^[A-Za-z0-9.]{1,11}$/;
const MAX_DECIMALS = 18n;
const DEVELOPMENT = "development money, worth nothing";
const RAILS: Readonly<Record<string, string>> = {
  vault: "from its account in the vault",
  exact: "by a transfer that it signed",
  upto: "by a transfer up to a limit that it signed",
  "batch-settlement": "from its payment channel",
  token: "by unlinkable tokens",
};
const TOKENS_TELL =
  "the issuer cannot see by the tokens which of its buyers paid, but it knows who bought, who was paid and when, and time " +
  "and amounts can give a payer away";

/** Tokens that paid: their issuer, and what each is known by in the log. */
export interface Spent {
  readonly issuer: string;
  readonly nullifiers: string;
}

/** What to say of tokens of a key set. */
export function spentOf({ tokens }: TokenSpend, keys: KeySet): Spent {
  return { issuer: keys.document.issuer, nullifiers: tokens.map((token) => keys.nullifier(token)).join(" ") };
}

/** What a receipt alone says of money. */
export function charged(units: bigint): string {
  return `${units} atomic units are charged`;
}

/** An amount with the asset's symbol; in atomic units where the asset cannot be shown so. */
export function amount(units: bigint, asset: Asset | null): string {
  if (!asset) return `${units} atomic units`;
  const { symbol, decimals, address } = asset;
  if (!SYMBOL.test(symbol) || decimals < 0n || decimals > MAX_DECIMALS) return `${units} atomic units of token ${short(address)}`;
  const places = Number(decimals);
  const digits = String(units).padStart(places + 1, "0");
  const cut = digits.length - places;
  const kept = digits.slice(cut).replace(/0+$/, "").padEnd(Math.min(2, places), "0");
  const whole = digits.slice(0, cut).replace(/\B(?=(\d{3})+$)/g, ",");
  return `${whole}${kept ? "." : ""}${kept} ${symbol}`;
}

/** What was used, at which price. */
export function prices(record: Payment, price: Price): string {
  const at = (units: bigint): string => amount(units, record.asset);
  const parts = [
    price.million_tokens_in ? `${record.tokens_in} tokens in at ${at(price.million_tokens_in)} a million` : "",
    price.million_tokens_out ? `${record.tokens_out} tokens out at ${at(price.million_tokens_out)} a million` : "",
    price.image ? `${record.images} images at ${at(price.image)} each` : "",
    price.second ? `${record.milliseconds} ms at ${at(price.second)} for each second begun` : "",
    price.call ? `one call at ${at(price.call)}` : "",
  ];
  return parts.filter(Boolean).join(", ") || "nothing that is counted";
}

/** Who is charged what by whom, for which request; or that nobody is. */
export function paid(record: Payment): string {
  const [request, offer] = [short(record.request), short(record.offer)];
  if (record.rail === "free") {
    const used = `${record.tokens_in} tokens in and ${record.tokens_out} tokens out`;
    return `nobody is charged for request ${request}, ${used}: offer ${offer} serves it for nothing`;
  }
  const { asset, price } = record;
  const units = amount(BigInt(record.charged), asset) + (asset?.development ? ` (${DEVELOPMENT})` : "");
  const anonymous = record.rail === "token";
  const named = record.payer ? `payer ${short(record.payer)}` : "no payer";
  const who = anonymous ? "an anonymous payer" : named;
  const tells = anonymous ? `; ${TOKENS_TELL}` : "";
  const used = price ? prices(record, price) : "at no price";
  return (
    `${who} is charged ${units} by payee ${short(record.payee)} for request ${request}: ${used}; ` +
    `${amount(BigInt(record.reserved), asset)} was reserved; under offer ${offer}, ${RAILS[record.rail] ?? ""}${tells}; ` +
    "it buys no proof and no good answer, and what of it has been moved is not shown here"
  );
}

/** What a mark carries of a payment: its words, and each thing by name; with the tokens, where shown. */
export function detail(record: Payment, spent?: Spent): Record<string, string> {
  const { asset, price, rail, payee, offer, request } = record;
  const tokens = `${record.tokens_in} in, ${record.tokens_out} out`;
  const found = { what: paid(record), rail, payee, offer, request, tokens };
  if (rail === "free") return found;
  return {
    ...found,
    payer: rail === "token" ? "anonymous" : (record.payer ?? ""),
    asset: asset?.address ?? "",
    chain: asset ? String(asset.chain_id) : "",
    development: asset?.development ? "yes" : "",
    price: price ? prices(record, price) : "",
    reserved: record.reserved,
    charged: record.charged,
    shown: amount(BigInt(record.charged), asset),
    authorization: record.authorization,
    ...spent,
  };
}
