/**
 * An x402 payment beside a payment record (core/x402_payment.py, core/x402_digests.py): JSON of its fields, byte strings
 * in base64, and the EIP-712 digest that its payer signed, worked out from them.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concat, readUTF8, same, sha256, unbase64, uint, unhex, utf8 } from "./bytes.ts";
import type { Asset } from "./documents.ts";
import { HallmarkError, translated } from "./errors.ts";
import { parseJSON } from "./json.ts";
import { Base64, boolean, integer, nullable, struct, text, type Of } from "./schema.ts";

const Transfer = struct({
  holder: Base64, to: Base64, value: integer, valid_after: integer, valid_before: integer, nonce: Base64,
});
const Permit = struct({
  token: Base64, amount: integer, spender: Base64, nonce: integer, deadline: integer, to: Base64, valid_after: integer,
  facilitator: Base64,
});
const DepositPermit = struct({
  token: Base64, amount: integer, nonce: integer, deadline: integer, channel: Base64, spender: Base64,
});
const Config = struct({
  payer: Base64, payer_authorizer: Base64, receiver: Base64, receiver_authorizer: Base64, token: Base64,
  withdraw_delay: integer, salt: Base64,
});
const Deposit = struct({
  amount: integer, signature: Base64, digest: Base64, transfer: nullable(Transfer), salt: Base64,
  permit: nullable(DepositPermit),
});
const Channel = struct({ config: Config, id: Base64, max_claimable: integer, deposit: nullable(Deposit) });
const Payment = struct({
  scheme: text(), kind: text(/^(transfer|permit2|voucher)$/), payer: Base64, amount: integer, digest: Base64,
  expires: integer, signature: Base64, transfer: nullable(Transfer), permit: nullable(Permit), channel: nullable(Channel),
  refund: boolean, token: Base64,
});

/** A payment as it stands beside a record. */
export type X402Payment = Of<typeof Payment>;

/** What was signed, worked out from a payment's fields (core/x402_payment.Signed). */
export interface Signed {
  readonly digest: Uint8Array;
  readonly signer: Uint8Array;
  readonly payer: Uint8Array;
  readonly payee: Uint8Array;
  readonly most: bigint;
  readonly expires: bigint;
  readonly enclave: Uint8Array | undefined;
}

const EXACT_PROXY = unhex("0x402085c248eea27d92e8b30b2c58ed07f9e20001");
const UPTO_PROXY = unhex("0x4020a4f3b7b90cca423b9fabcc0ce57c6c240002");
const PERMIT2 = unhex("0x000000000022d473030f116ddee9f6b43ac78ba3");
const BATCH_SETTLEMENT = unhex("0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003");
const FIELDS = "(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";
const PERMITTED = "TokenPermissions(address token,uint256 amount)";
const PERMIT = "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,";
const EXACT_WITNESS = "Witness(address to,uint256 validAfter)";
const UPTO_WITNESS = "Witness(address to,address facilitator,uint256 validAfter)";
const CHANNEL =
  "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer," +
  "address token,uint40 withdrawDelay,bytes32 salt)";
const VOUCHER = "Voucher(bytes32 channelId,uint128 maxClaimableAmount)";
const DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const PERMIT2_DOMAIN = "EIP712Domain(string name,uint256 chainId,address verifyingContract)";

function refused(): HallmarkError {
  return new HallmarkError("bad_payment", "These bytes are no x402 payment.");
}

/** Reads a payment, byte for byte as it is written. Raises `bad_payment`. */
export function readX402(data: Uint8Array): X402Payment {
  return translated(() => {
    const written = readUTF8(data);
    if (written === undefined) throw refused();
    const payment = Payment.read(parseJSON(written));
    if (Payment.write(payment) !== written) throw refused();
    return payment;
  }, refused);
}

/** The 32 bytes under which a payment is used once; a voucher, once for each request. */
export function nameOf(payment: X402Payment, request: Uint8Array): Uint8Array {
  const digest = unbase64(payment.digest);
  if (payment.kind === "voucher") return sha256(digest, request);
  return keccak_256(concat(utf8("hallmark/x402/v1\0"), unbase64(payment.payer), digest));
}

/** What a payment in `asset` signs for, whatever it says of itself. Raises `bad_payment`. */
export function signedBy(payment: X402Payment, asset: Asset): Signed {
  const { scheme, kind, transfer, permit, channel } = payment;
  const token = unhex(asset.address);
  if ([transfer, permit, channel].filter((part) => part !== null).length !== 1) throw refused();
  if (scheme === "exact" && kind === "transfer" && transfer) return transferred(transfer, asset);
  const proxies: Readonly<Record<string, Uint8Array>> = { exact: EXACT_PROXY, upto: UPTO_PROXY };
  const proxy = Object.hasOwn(proxies, scheme) ? proxies[scheme] : undefined;
  if (proxy && kind === "permit2" && permit) {
    const named = unbase64(permit.facilitator).length > 0 === (scheme === "upto");
    if (named && same(unbase64(permit.spender), proxy) && same(unbase64(permit.token), token)) {
      return permitted(permit, unbase64(payment.payer), asset.chain_id);
    }
  }
  if (scheme === "batch-settlement" && kind === "voucher" && channel && same(unbase64(channel.config.token), token)) {
    return vouched(channel, asset.chain_id);
  }
  throw refused();
}

function transferred(transfer: Of<typeof Transfer>, asset: Asset): Signed {
  const domain = separator(asset.name, asset.version, asset.chain_id, unhex(asset.address));
  const [holder, payee] = [unbase64(transfer.holder), unbase64(transfer.to)];
  const numbers = [transfer.value, transfer.valid_after, transfer.valid_before].map((value) => number(value, 32));
  const digest = signable(domain, [`TransferWithAuthorization${FIELDS}`], [
    address(holder), address(payee), ...numbers, word(unbase64(transfer.nonce)),
  ]);
  const expires = transfer.valid_before;
  return { digest, signer: holder, payer: holder, payee, most: transfer.value, expires, enclave: undefined };
}

function permitted(permit: Of<typeof Permit>, payer: Uint8Array, chain: bigint): Signed {
  const [payee, facilitator] = [unbase64(permit.to), unbase64(permit.facilitator)];
  const after = number(permit.valid_after, 32);
  const upto = facilitator.length > 0;
  const kind = upto ? UPTO_WITNESS : EXACT_WITNESS;
  const parts = upto ? [address(payee), address(facilitator), after] : [address(payee), after];
  const witness = hashed(kind, parts);
  const tokens = hashed(PERMITTED, [address(unbase64(permit.token)), number(permit.amount, 32)]);
  const domain = keccak_256(
    concat(keccak_256(utf8(PERMIT2_DOMAIN)), keccak_256(utf8("Permit2")), number(chain, 32), address(PERMIT2)),
  );
  const digest = signable(domain, [`${PERMIT}Witness witness)`, PERMITTED, kind], [
    tokens, address(unbase64(permit.spender)), number(permit.nonce, 32), number(permit.deadline, 32), witness,
  ]);
  const { amount: most, deadline: expires } = permit;
  return { digest, signer: payer, payer, payee, most, expires, enclave: undefined };
}

function vouched({ config, id, max_claimable }: Of<typeof Channel>, chain: bigint): Signed {
  const domain = separator("x402 Batch Settlement", "1", chain, BATCH_SETTLEMENT);
  const parties = [config.payer, config.payer_authorizer, config.receiver, config.receiver_authorizer, config.token].map(unbase64);
  const words = [...parties.map(address), number(config.withdraw_delay, 5), word(unbase64(config.salt))];
  const name = signable(domain, [CHANNEL], words);
  if (!same(name, unbase64(id))) throw refused();
  const digest = signable(domain, [VOUCHER], [name, number(max_claimable, 16)]);
  const [payer, authorizer, payee, enclave] = parties as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  const signer = authorizer.some(Boolean) ? authorizer : payer;
  return { digest, signer, payer, payee, most: max_claimable, expires: 0n, enclave };
}

function separator(name: string, version: string, chain: bigint, contract: Uint8Array): Uint8Array {
  const names = [DOMAIN, name, version].map((each) => keccak_256(utf8(each)));
  return keccak_256(concat(...names, number(chain, 32), address(contract)));
}

function hashed(kind: string, words: readonly Uint8Array[]): Uint8Array {
  return keccak_256(concat(keccak_256(utf8(kind)), ...words));
}

function signable(domain: Uint8Array, kinds: readonly string[], words: readonly Uint8Array[]): Uint8Array {
  return keccak_256(concat(Uint8Array.of(0x19, 0x01), domain, hashed(kinds.join(""), words)));
}

function address(value: Uint8Array): Uint8Array {
  if (value.length !== 20) throw refused();
  return concat(new Uint8Array(12), value);
}

function word(value: Uint8Array): Uint8Array {
  if (value.length !== 32) throw refused();
  return value;
}

/** A number of at most `size` bytes as the ABI's 32. */
function number(value: bigint, size: number): Uint8Array {
  const bytes = value < 0n ? undefined : uint(value, size);
  if (!bytes) throw refused();
  return concat(new Uint8Array(32 - size), bytes);
}
