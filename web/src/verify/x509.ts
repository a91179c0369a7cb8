/**
 * One X.509 certificate (RFC 5280), read as far as it matters here and no further (attestation/x509.py): names and keys are
 * compared by their exact bytes, and what stands inside a name or an extension that nobody needs is not looked at.
 */
import { hex } from "./bytes.ts";
import { bytesOf, DER, integerOf, open, TAGS, timeOf, unreadable, type Element } from "./der.ts";
import { extensionsOf, type Extensions } from "./extensions.ts";

export const ECDSA_SHA384 = "300a06082a8648ce3d040303";
const P384_KEY = "301006072a8648ce3d020106052b81040022";
const P384_POINT_SIZE = 97;

/** A parsed certificate. `key` is the uncompressed point of a P-384 key; DER texts are hex; times are unix ms. */
export interface Certificate extends Extensions {
  readonly signed: Uint8Array;
  readonly innerAlgorithm: string;
  readonly algorithm: string;
  readonly signature: Uint8Array;
  readonly issuer: string;
  readonly subject: string;
  readonly notBefore: bigint;
  readonly notAfter: bigint;
  readonly key: Uint8Array | undefined;
}

/** Reads one DER certificate. Raises `certificate_unreadable`, also for another version than 3 and a serial below 1. */
export function readCertificate(der: Uint8Array): Certificate {
  const outer = open(der, TAGS.sequence);
  const signed = outer.take(TAGS.sequence);
  const algorithm = hex(outer.take(TAGS.sequence).whole);
  const signature = bytesOf(outer.take(TAGS.bits));
  outer.end();
  const body = new DER(signed.content);
  const version = body.into(0xa0);
  if (integerOf(version.take(TAGS.integer)) !== 2n) throw unreadable();
  version.end();
  if (integerOf(body.take(TAGS.integer)) < 1n) throw unreadable();
  const innerAlgorithm = hex(body.take(TAGS.sequence).whole);
  const issuer = hex(body.take(TAGS.sequence).whole);
  const validity = body.into(TAGS.sequence);
  const [notBefore, notAfter] = [timeOf(validity.take()), timeOf(validity.take())];
  validity.end();
  const subject = hex(body.take(TAGS.sequence).whole);
  const key = keyOf(body.take(TAGS.sequence));
  for (const uniqueId of [0x81, 0x82]) body.maybe(uniqueId);
  const extensions = extensionsOf(body);
  body.end();
  return { signed: signed.whole, innerAlgorithm, algorithm, signature, issuer, subject, notBefore, notAfter, key, ...extensions };
}

/** The uncompressed point (not yet known to lie on the curve) of a P-384 key; undefined for every other key. */
function keyOf({ content }: Element): Uint8Array | undefined {
  const parts = new DER(content);
  const algorithm = hex(parts.take(TAGS.sequence).whole);
  const point = bytesOf(parts.take(TAGS.bits));
  parts.end();
  return algorithm === P384_KEY && point.length === P384_POINT_SIZE && point[0] === 4 ? point : undefined;
}
