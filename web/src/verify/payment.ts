/**
 * What a dossier establishes about money (verification/payment_findings.py, payment_rules.py): who is charged what by whom,
 * for exactly which request, or that nobody has to pay by the offer of the node's owner. Each thing is held against what
 * commits to it, by the rules that full nodes apply; what a file leaves out keeps the mark low.
 */
import { hex0x, same, unbase64, unhex, utf8, ZERO32 } from "./bytes.ts";
import {
  digestOf, IssuerKeys, Manifest, Offer, Payment, readDocument, sameAsset, samePrice, type KeyBundle, type Price,
} from "./documents.ts";
import { SIGNATURE_SIZE } from "./entries.ts";
import { attempted, translated, type HallmarkError } from "./errors.ts";
import { committed, failure, required, type Examination } from "./examination.ts";
import { recover } from "./keys.ts";
import { claimed, ladder, registered } from "./ladder.ts";
import type { Finding } from "./marks.ts";
import * as told from "./payment-words.ts";
import { areSound, KeySet, readSpend, type TokenSpend } from "./tokens.ts";
import { Spend, SpendingCeiling, unpack, vaultDigest, type Statement } from "./typed.ts";
import { NOT_SHOWN } from "./words.ts";
import { nameOf, readX402, signedBy } from "./x402.ts";

const MILLION = 1_000_000n;
const MAX_AMOUNT = (1n << 96n) - 1n;
const NOBODY = hex0x(ZERO32);
const COUNTED = ["million_tokens_in", "million_tokens_out", "image", "second", "call"] as const;

/** A payment record, the offer that it names, and what they are held against; what is undefined is not shown. */
interface Bill {
  readonly started: bigint;
  readonly record: Payment;
  readonly offer: Offer;
  readonly bundle: KeyBundle | undefined;
  readonly label: string | undefined;
  readonly authorization: Uint8Array | undefined;
  readonly keys: KeySet | undefined;
}

/** What was charged, for what: the five steps of `payment_findings.paid`. */
export function paid(exam: Examination): Finding[] {
  const { receipt, dossier } = exam;
  const { documents } = dossier;
  const [digest, charged] = [receipt.bytes("payment"), receipt.number("charged")];
  if (same(digest, ZERO32)) {
    required(!charged, "payment_record_absent");
    const none = documents.payment === null && documents.offer === null && documents.issuer_keys === null && !exam.authorizationBytes();
    required(none, "payment_record_other");
    return [];
  }
  if (documents.payment === null) {
    return [claimed(exam, "paid", digest, { what: `${told.charged(charged)}; ${NOT_SHOWN.payment}` })];
  }
  const record = recordOf(exam, documents.payment);
  const hidden = hiddenOf(exam, record);
  const spend = spendOf(exam, record);
  const keys = keysOf(exam, spend);
  if (documents.offer !== null) checkBill(billOf(exam, record, documents.offer, keys));
  const detail = told.detail(record, spend && keys ? told.spentOf(spend, keys) : undefined);
  const what = detail["what"] ?? "";
  if (hidden) return [claimed(exam, "paid", digest, { ...detail, what: `${what}; ${NOT_SHOWN[hidden]}` })];
  const unproven = record.rail === "token" ? `; ${NOT_SHOWN["issuer's place"]}` : "";
  const unsigned = { ...detail, what: `${what}; ${NOT_SHOWN["offer's signature"]}${unproven}` };
  const rungs = ladder(exam, "paid", { digest, detail: unsigned, restsOn: registered(exam), witnessed: what });
  return record.rail === "free" ? rungs.slice(-1).map((each) => ({ ...each, state: "not_required" })) : rungs;
}

function recordOf({ receipt }: Examination, text: string): Payment {
  const data = utf8(text);
  required(same(digestOf(Payment, data), receipt.bytes("payment")), "payment_record_other");
  const record = translated(() => readDocument(Payment, data), () => failure("payment_unreadable"));
  const [network, request] = [receipt.bytes("network"), receipt.bytes("request")].map(hex0x);
  const named = record.network === network && record.request === request;
  const used = record.tokens_in === receipt.number("tokensIn") && record.tokens_out === receipt.number("tokensOut");
  required(named && used && BigInt(record.charged) === receipt.number("charged"), "payment_other_receipt");
  return record;
}

/** The tokens that paid, where they are shown; that they are the record's `checkBill` says. */
function spendOf(exam: Examination, record: Payment): TokenSpend | undefined {
  const encoded = exam.authorizationBytes();
  if (record.rail !== "token" || encoded === undefined) return undefined;
  return translated(() => readSpend(encoded), () => failure("authorization_other"));
}

/** The key set that the tokens name; undefined when either is not shown. */
function keysOf({ dossier }: Examination, spend: TokenSpend | undefined): KeySet | undefined {
  const text = dossier.documents.issuer_keys;
  if (text === null || spend === undefined) return undefined;
  const document = committed(IssuerKeys, text, spend.keys, "token_keys_mismatch");
  required(areSound(document), "issuer_keys_unsound");
  return new KeySet(document);
}

function billOf(exam: Examination, record: Payment, text: string, keys: KeySet | undefined): Bill {
  const offer = committed(Offer, text, unhex(record.offer), "offer_mismatch");
  required(offer.network === record.network, "offer_names_other");
  required(isSound(offer), "offer_unsound");
  const bundle = exam.showsBundle ? exam.bundle() : undefined;
  const given = exam.authorizationBytes();
  const authorization = record.rail === "free" ? (given ?? new Uint8Array()) : given;
  return { started: exam.receipt.number("started"), record, offer, bundle, label: labelOf(exam), authorization, keys };
}

/** The label of the model that answered, "" for a provider's; undefined when its manifest is not shown. */
function labelOf({ receipt, dossier }: Examination): string | undefined {
  if (same(receipt.bytes("artifact"), ZERO32)) return "";
  const text = dossier.documents.manifest;
  if (text === null) return undefined;
  return committed(Manifest, text, receipt.bytes("manifest"), "manifest_mismatch").label;
}

/** The first part that would have to be shown for more than the node's word. */
function hiddenOf(exam: Examination, record: Payment): "offer" | "authorization" | "issuer_keys" | "bundle" | "manifest" | undefined {
  const { documents } = exam.dossier;
  if (documents.offer === null) return "offer";
  if (record.rail !== "free" && !exam.authorizationBytes()) return "authorization";
  if (record.rail === "token" && documents.issuer_keys === null) return "issuer_keys";
  if (!exam.showsBundle) return "bundle";
  return same(exam.receipt.bytes("artifact"), ZERO32) || documents.manifest !== null ? undefined : "manifest";
}

/** Whether an offer can be meant (core.prices.check_offer). */
function isSound({ since, until, prices, free, asset }: Offer): boolean {
  const labels = new Set(prices.map(({ label }) => label));
  if (until <= since || labels.size < prices.length) return false;
  if (prices.some((price) => COUNTED.every((name) => !price[name]))) return false;
  if (free.everything) return true;
  if (!prices.length || !asset) return false;
  return asset.decimals >= 0n && asset.decimals <= 18n && asset.chain_id > 0n && asset.symbol !== "";
}

function checkBill(bill: Bill): void {
  const { record, offer, bundle, started } = bill;
  required(!bundle || offer.owner === bundle.owner, "offer_of_another");
  required(record.payee === offer.payee && (!bundle || record.payee === bundle.payment), "payee_other");
  required(sameAsset(record.asset, offer.asset), "asset_other");
  required(offer.since <= started && started < offer.until, "offer_not_in_force");
  checkAmount(bill);
  required(record.rail === "free" || !bundle || bundle.settlement !== undefined, "settlement_key_absent");
  const { authorization } = bill;
  if (record.rail === "free") required(!authorization?.length, "authorization_other");
  else if (authorization) judgeOf(record.rail)(bill, authorization);
}

function judgeOf(rail: string): (bill: Bill, encoded: Uint8Array) => void {
  if (rail === "token") return checkTokens;
  return rail === "vault" ? checkVault : checkX402;
}

function checkAmount({ record, offer, label }: Bill): void {
  if (record.rail === "free") {
    const amounts = record.account === 0n && record.reserved === "0" && record.charged === "0";
    const nobody = record.payer === null && record.price === null && record.authorization === NOBODY;
    required(amounts && nobody, "free_but_charged");
    const undecided = label === undefined && offer.free.models.length > 0;
    required(undecided || isFree(offer, record, label ?? ""), "not_free");
    return;
  }
  const { price } = record;
  if (!price || !offer.prices.some((each) => samePrice(each, price))) throw failure("price_other");
  required(!label || price.label === label, "price_of_another_model");
  const due = costOf(price, record);
  const [charged, reserved] = [BigInt(record.charged), BigInt(record.reserved)];
  required(due <= MAX_AMOUNT, "charged_wrongly");
  required(charged <= reserved, "charged_over_reserved");
  // An exact payment is for one sum, whatever the use comes to.
  const right = record.rail === "exact" || reserved < due ? reserved : due;
  required(charged === right, "charged_wrongly");
}

function costOf(price: Price, { tokens_in, tokens_out, images, milliseconds }: Payment): bigint {
  const tokens = price.million_tokens_in * tokens_in + price.million_tokens_out * tokens_out;
  const up = (amount: bigint, whole: bigint): bigint => (amount + whole - 1n) / whole;
  return up(tokens, MILLION) + price.image * images + price.second * up(milliseconds, 1000n) + price.call;
}

function isFree({ free }: Offer, { tokens_in, tokens_out, images }: Payment, label: string): boolean {
  if (free.everything || free.models.includes(label)) return true;
  if ((!free.tokens_in && !free.tokens_out) || images) return false;
  return tokens_in > 0n && tokens_in <= free.tokens_in && tokens_out <= free.tokens_out;
}

/** Tokens of one key set, which was in force, each signed by its issuer, worth what was reserved. */
function checkTokens({ record, started, keys }: Bill, encoded: Uint8Array): void {
  required(record.asset !== null, "rail_not_offered");
  required(record.payer === null && record.account === 0n, "token_payer_named");
  const spend = translated(() => readSpend(encoded), () => failure("authorization_other"));
  required(record.authorization === spend.digest, "authorization_other");
  if (!keys) return;
  const { document } = keys;
  required(same(spend.keys, keys.digest) && document.network === record.network, "token_keys_other");
  required(sameAsset(document.asset, record.asset), "asset_other");
  required(document.since <= started && started < document.until, "token_keys_not_in_force");
  required(spend.units * document.unit === BigInt(record.reserved), "token_sum_other");
  required(spend.tokens.every((token) => keys.signed(token)), "token_invalid");
}

/** A payment by x402: a transfer, a permit or a voucher, signed by the payer for this payee and sum. */
function checkX402({ record, offer, bundle, started }: Bill, encoded: Uint8Array): void {
  const { asset } = offer;
  if (asset === null) throw failure("rail_not_offered");
  const other = (): HallmarkError => failure("authorization_other");
  const payment = translated(() => readX402(encoded), other);
  const said = translated(() => signedBy(payment, asset), other);
  const named = hex0x(nameOf(payment, unhex(record.request)));
  required(payment.scheme === record.rail && named === record.authorization, "authorization_other");
  required(same(unbase64(payment.digest), said.digest), "authorization_other");
  const told = same(unbase64(payment.payer), said.payer) && same(unbase64(payment.token), unhex(asset.address));
  required(told && payment.expires === said.expires, "authorization_other");
  const signer = attempted(() => recover(said.digest, unbase64(payment.signature)));
  required(signer !== undefined && same(signer, said.signer), "authorization_unsigned");
  required(hex0x(said.payer) === record.payer, "payer_other");
  required(hex0x(said.payee) === record.payee, "payee_other");
  required(!said.enclave || !bundle || hex0x(said.enclave) === bundle.settlement, "enclave_other");
  required(!said.expires || started < 1000n * said.expires, "authorization_expired");
  const reserved = BigInt(record.reserved);
  required(reserved <= said.most, "reserved_over_signed");
  required(payment.amount === reserved, "authorization_other");
}

/** A ceiling signed by the payer and a spend under it: both for this payee and vault, the spend for this enclave and sum. */
function checkVault({ record, offer, bundle, started }: Bill, encoded: Uint8Array): void {
  const { vault, asset } = offer;
  if (vault === null || asset === null) throw failure("rail_not_offered");
  const second = SpendingCeiling.size + SIGNATURE_SIZE;
  const whole = second + Spend.size + SIGNATURE_SIZE;
  required(encoded.length === whole, "authorization_other");
  const ceiling = unpack(SpendingCeiling, encoded.subarray(0, SpendingCeiling.size));
  const spend = unpack(Spend, encoded.subarray(second, second + Spend.size));
  const digest = (said: Statement): Uint8Array => vaultDigest(said, asset.chain_id, unhex(vault));
  required(record.authorization === hex0x(digest(spend)), "authorization_other");
  const session = ceiling.bytes("session").some(Boolean) ? ceiling.bytes("session") : ceiling.bytes("payer");
  const signed = (said: Statement, end: number, by: Uint8Array): boolean => {
    const signer = attempted(() => recover(digest(said), encoded.subarray(end - SIGNATURE_SIZE, end)));
    return signer !== undefined && same(signer, by);
  };
  required(signed(ceiling, second, ceiling.bytes("payer")) && signed(spend, whole, session), "authorization_unsigned");
  const names = (field: string): string[] => [spend, ceiling].map((said) => hex0x(said.bytes(field)));
  required(names("payer").every((payer) => payer === record.payer), "payer_other");
  required(names("payee").every((payee) => payee === record.payee), "payee_other");
  required(!bundle || hex0x(spend.bytes("enclave")) === bundle.settlement, "enclave_other");
  const expired = started >= spend.number("expires") || started >= 1000n * ceiling.number("validUntil");
  required(!expired, "authorization_expired");
  const reserved = BigInt(record.reserved);
  required(reserved <= spend.number("maximum") && reserved <= ceiling.number("maxClaimable"), "reserved_over_signed");
}
