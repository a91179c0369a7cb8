/**
 * EIP-712 structs of fixed-size fields (core/typed.py, core/statements.py, core/receipt.py): packed for the log, padded
 * for hashing, JSON for dossiers. A statement holds bytes for `bytes32` and `address`, bigint for integers.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concat, hex0x, readUint, uint, unhex, utf8 } from "./bytes.ts";
import { HallmarkError } from "./errors.ts";

const SIZES = { bytes32: 32, address: 20, uint8: 1, uint32: 4, uint64: 8, uint128: 16 } as const;
type Kind = keyof typeof SIZES;
const VAULT_DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId)";

/** A statement's layout: name, and its fields in signing order. */
export interface Layout {
  readonly name: string;
  readonly fields: readonly (readonly [name: string, kind: Kind])[];
  readonly size: number;
  readonly typeHash: Uint8Array;
}

/** A statement: the layout that it was read by, its packed bytes, and its fields. */
export interface Statement {
  readonly layout: Layout;
  readonly packed: Uint8Array;
  bytes(field: string): Uint8Array;
  number(field: string): bigint;
}

function layout(name: string, encoded: string): Layout {
  const fields = encoded.split(",").map((field) => {
    const [kind, wire] = field.split(" ") as [Kind, string];
    return [wire, kind] as const;
  });
  const size = fields.reduce((sum, [, kind]) => sum + SIZES[kind], 0);
  return { name, fields, size, typeHash: keccak_256(utf8(`${name}(${encoded})`)) };
}

const AT = "uint64 at";

export const Receipt = layout(
  "Receipt",
  "uint8 version,bytes32 network,address node,bytes32 bundle,uint64 sequence,bytes32 previous,bytes32 request," +
    "bytes32 response,uint8 mode,bytes32 artifact,bytes32 manifest,bytes32 upstream,bytes32 parameters," +
    "bytes32 route,bytes32 inputs,bytes32 payment,uint128 charged,uint64 tokensIn,uint64 tokensOut," +
    "uint64 beaconSize,bytes32 beaconRoot,uint64 started,uint64 finished,bytes32 policy,bytes32 clientNonce",
);
export const Registration = layout(
  "Registration",
  "bytes32 network,uint8 role,address key,address owner,bytes32 document,bytes32 evidence," +
    `uint64 beaconSize,bytes32 beaconRoot,${AT}`,
);
export const Retirement = layout("Retirement", `bytes32 network,address key,bytes32 reason,${AT}`);
export const Compromise = layout("Compromise", `bytes32 network,address key,uint64 since,bytes32 reason,${AT}`);
export const Approval = layout("Approval", `bytes32 network,bytes32 document,${AT}`);
export const Revocation = layout("Revocation", `bytes32 network,bytes32 document,uint64 since,bytes32 reason,${AT}`);
export const Publication = layout("Publication", `bytes32 network,address owner,bytes32 document,${AT}`);
export const IssuerEpoch = layout("IssuerEpoch", `bytes32 network,address issuer,uint64 epoch,bytes32 document,${AT}`);
export const PriceOffer = layout("PriceOffer", `bytes32 network,address owner,bytes32 document,${AT}`);
export const Version = layout(
  "Version",
  `bytes32 network,address owner,bytes32 document,bytes32 artifact,bytes32 sha256,${AT}`,
);
export const Ticket = layout(
  "Ticket",
  "bytes32 network,address gateway,bytes32 candidates,uint64 beaconSize,bytes32 beaconRoot,uint64 issued," +
    "uint64 expires,bytes32 nonce",
);
export const Verdict = layout(
  "Verdict",
  `bytes32 network,address author,uint64 size,bytes32 root,bytes32 objected,${AT}`,
);
export const Fault = layout(
  "Fault",
  `bytes32 network,address author,address culprit,bytes32 kind,uint64 first,uint64 second,${AT}`,
);
export const Review = layout(
  "Review",
  "bytes32 network,address reviewer,bytes32 item,uint64 subject,uint8 judgement,bytes32 reason,bytes32 policy," +
    `bytes32 screen,bytes32 comment,${AT}`,
);
export const Outcome = layout(
  "Outcome",
  `bytes32 network,address speaker,bytes32 item,uint64 subject,uint8 said,bytes32 document,${AT}`,
);
export const Derivation = layout(
  "Derivation",
  `bytes32 network,address author,bytes32 source,bytes32 derived,bytes32 tool,bytes32 document,${AT}`,
);
/** What payers sign for a vault's contract (core/vault.py, core/spending.py). */
export const SpendingCeiling = layout(
  "SpendingCeiling",
  "address payer,address payee,address session,uint128 maxClaimable,uint32 nonce,uint32 validUntil",
);
export const Spend = layout(
  "Spend",
  "address payer,address payee,address enclave,bytes32 request,uint128 maximum,bytes32 nonce,uint64 expires",
);
export const PolicyStatement = layout("PolicyStatement", `bytes32 network,bytes32 kind,bytes32 document,${AT}`);

/** Reads the packed form. Raises `statement_length` unless it has exactly the layout's size. */
export function unpack(type: Layout, packed: Uint8Array): Statement {
  if (packed.length !== type.size) {
    throw new HallmarkError("statement_length", `${type.name} takes ${type.size} bytes, not ${packed.length}.`);
  }
  const parts = new Map<string, Uint8Array>();
  let at = 0;
  for (const [name, kind] of type.fields) {
    parts.set(name, packed.subarray(at, at + SIZES[kind]));
    at += SIZES[kind];
  }
  const bytes = (field: string): Uint8Array => {
    const part = parts.get(field);
    if (!part) throw new TypeError(`${type.name} has no field ${field}`);
    return part;
  };
  return { layout: type, packed, bytes, number: (field) => readUint(bytes(field)) };
}

/** Reads the JSON form, lower-case digits only. Raises `statement_fields`. */
export function statementFromJSON(type: Layout, value: ReadonlyMap<string, string | bigint>): Statement {
  const bad = new HallmarkError("statement_fields", `${type.name} has missing, unknown or ill-typed fields.`);
  if (value.size !== type.fields.length) throw bad;
  const parts = type.fields.map(([name, kind]) => {
    const given = value.get(name);
    const size = SIZES[kind];
    if (kind.startsWith("uint")) {
      const part = typeof given === "bigint" ? uint(given, size) : undefined;
      if (!part) throw bad;
      return part;
    }
    if (typeof given !== "string" || !new RegExp(`^0x[0-9a-f]{${2 * size}}$`).test(given)) throw bad;
    return unhex(given);
  });
  return unpack(type, concat(...parts));
}

/** The JSON form of a statement. */
export function statementToJSON(statement: Statement): Map<string, string | bigint> {
  return new Map(
    statement.layout.fields.map(([name, kind]) => [
      name,
      kind.startsWith("uint") ? statement.number(name) : hex0x(statement.bytes(name)),
    ]),
  );
}

/** EIP-712 `hashStruct`; 32 bytes. */
export function structHash(statement: Statement): Uint8Array {
  const words = statement.layout.fields.map(([name]) => {
    const word = new Uint8Array(32);
    const part = statement.bytes(name);
    word.set(part, 32 - part.length);
    return word;
  });
  return keccak_256(concat(statement.layout.typeHash, ...words));
}

/** The 32 bytes that are signed: keccak256(0x1901 || domain separator || hashStruct). */
export function signingDigest(statement: Statement, chainId: bigint): Uint8Array {
  const domain = concat(keccak_256(utf8(DOMAIN_TYPE)), keccak_256(utf8("Hallmark")), keccak_256(utf8("1")));
  const chain = uint(chainId, 32);
  if (!chain) throw new HallmarkError("field_out_of_range", "The chain id is no uint256.");
  const separator = keccak_256(concat(domain, chain));
  return keccak_256(concat(Uint8Array.of(0x19, 0x01), separator, structHash(statement)));
}

/** The 32 bytes that are signed for the vault at this address (20 bytes) on a chain, in the contract's own domain. */
export function vaultDigest(statement: Statement, chainId: bigint, vault: Uint8Array): Uint8Array {
  const chain = uint(chainId, 32);
  if (!chain) throw new HallmarkError("field_out_of_range", "The chain id is no uint256.");
  const names = [VAULT_DOMAIN_TYPE, "Hallmark Vault", "1"].map((text) => keccak_256(utf8(text)));
  const separator = keccak_256(concat(...names, chain, concat(new Uint8Array(12), vault)));
  return keccak_256(concat(Uint8Array.of(0x19, 0x01), separator, structHash(statement)));
}

/** The text of a 32-byte code: ASCII, padded with zero bytes on the right. */
export function textOf(code: Uint8Array): string {
  let end = code.length;
  while (end && code[end - 1] === 0) end--;
  return Array.from(code.subarray(0, end), (byte) => (byte < 128 ? String.fromCharCode(byte) : "\ufffd")).join("");
}
