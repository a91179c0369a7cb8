/**
 * What a person signs at the desk: `Review`, which becomes a log entry, and `SignIn`, which opens a session and is no
 * entry (core/statements.py). Bytes in, bytes out; the same as hallmark.services.sdk.review_client makes.
 */
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concat, hex0x, sha256, utf8, ZERO32 } from "../verify/bytes.ts";
import { HallmarkError } from "../verify/errors.ts";
import { type Layout, Review, signingDigest, type Statement, statementFromJSON, statementToJSON } from "../verify/typed.ts";

const ENTRY_VERSION = 1;
const REVIEW_KIND = 11;
const COMMENT_TAG = utf8("hallmark/comment/v1\0");

/** `SignIn(bytes32 network,address key,bytes32 nonce,bytes32 origin,uint64 at)`. */
export const SignIn: Layout = {
  name: "SignIn",
  fields: [["network", "bytes32"], ["key", "address"], ["nonce", "bytes32"], ["origin", "bytes32"], ["at", "uint64"]],
  size: 32 + 20 + 32 + 32 + 8,
  typeHash: keccak_256(utf8("SignIn(bytes32 network,address key,bytes32 nonce,bytes32 origin,uint64 at)")),
};

/** What a review says; digests and addresses are 0x-hex, `subject` and `at` numbers, `judgement` 1 fit, 2 unfit, 3 undecided. */
export interface ReviewFields {
  readonly network: string;
  readonly item: string;
  readonly subject: number;
  readonly judgement: number;
  readonly reason: string;
  readonly policy: string;
  readonly screen: string;
  readonly at: number;
}

/** The two comments and the 32 random bytes that hide them behind their digest. */
export interface Comments {
  readonly comment: string;
  readonly internal: string;
  readonly salt: Uint8Array;
}

/** The 20-byte address of a secret key. */
export function addressOf(secret: Uint8Array): Uint8Array {
  return keccak_256(secp256k1.getPublicKey(secret, false).subarray(1)).subarray(12);
}

/** The secret key in a key file: 64 hexadecimal digits, 0x and white space around them allowed. Raises `bad_key_file`. */
export function readKeyFile(text: string): Uint8Array {
  const digits = text.trim().replace(/^0x/, "");
  const secret = /^[0-9a-fA-F]{64}$/.test(digits) ? Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16)) : undefined;
  if (secret === undefined || !secp256k1.utils.isValidSecretKey(secret)) {
    throw new HallmarkError("bad_key_file", "This is not a key file: it holds 64 hexadecimal digits and nothing else.");
  }
  return secret;
}

/** 65 bytes r || s || v over a statement: low s, v 27 or 28. */
export function sign(statement: Statement, chainId: bigint, secret: Uint8Array): Uint8Array {
  const signed = secp256k1.sign(signingDigest(statement, chainId), secret, { prehash: false, lowS: true, format: "recovered" });
  return concat(signed.subarray(1), Uint8Array.of(27 + (signed[0] ?? 0)));
}

/** What a review commits to of its comments; zero when there are none. */
export function commentDigest({ comment, internal, salt }: Comments): Uint8Array {
  if (comment === "" && internal === "") return ZERO32;
  return sha256(COMMENT_TAG, salt, utf8(JSON.stringify({ comment, internal })));
}

/** A review as a log entry: u8 version || u8 kind || statement || u8 1 || signature || u8 0. */
export function reviewEntry(fields: ReviewFields, comments: Comments, chainId: bigint, secret: Uint8Array): Uint8Array {
  const statement = statementFromJSON(
    Review,
    new Map<string, string | bigint>([
      ["network", fields.network],
      ["reviewer", hex0x(addressOf(secret))],
      ["item", fields.item],
      ["subject", BigInt(fields.subject)],
      ["judgement", BigInt(fields.judgement)],
      ["reason", hex0x(codeOf(fields.reason))],
      ["policy", fields.policy],
      ["screen", fields.screen],
      ["comment", hex0x(commentDigest(comments))],
      ["at", BigInt(fields.at)],
    ]),
  );
  const head = Uint8Array.of(ENTRY_VERSION, REVIEW_KIND);
  return concat(head, statement.packed, Uint8Array.of(1), sign(statement, chainId, secret), Uint8Array.of(0));
}

/** A challenge of the desk, as `/sign-in.json` gives it. */
export interface Challenge {
  readonly network: string;
  readonly chain_id: number;
  readonly nonce: string;
  readonly origin: string;
  readonly public_url: string;
  readonly at: number;
  readonly expires: number;
}

/**
 * The signed challenge as base64url of its JSON. `here` is the origin that this browser shows; a challenge for any
 * other site is not signed. Raises `other_site`.
 */
export function signInProof(challenge: Challenge, here: string, secret: Uint8Array): string {
  if (challenge.origin !== hex0x(sha256(utf8(here)))) {
    throw new HallmarkError("other_site", "The challenge is for another address than the one in this browser.", `Open ${challenge.public_url} and sign in there.`);
  }
  const statement = statementFromJSON(
    SignIn,
    new Map<string, string | bigint>([
      ["network", challenge.network],
      ["key", hex0x(addressOf(secret))],
      ["nonce", challenge.nonce],
      ["origin", challenge.origin],
      ["at", BigInt(challenge.at)],
    ]),
  );
  const fields = Object.fromEntries([...statementToJSON(statement)].map(([name, value]) => [name, typeof value === "bigint" ? Number(value) : value]));
  const proof = { statement: fields, signature: hex0x(sign(statement, BigInt(challenge.chain_id), secret)) };
  return btoa(JSON.stringify(proof)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** A reason code as 32 bytes. Raises `bad_code`. */
export function codeOf(text: string): Uint8Array {
  if (!/^[a-z][a-z0-9_]{0,31}$/.test(text)) {
    throw new HallmarkError("bad_code", "A reason code is 1 to 32 lower-case letters, digits and underscores.");
  }
  const code = new Uint8Array(32);
  code.set(utf8(text));
  return code;
}
