/** One X.509 certificate (RFC 5280), read whole: what cannot be read by `cryptography` cannot be read here. */
import { hex, readUTF8, same } from "./bytes.ts";
import { bitsOf, DER, integerOf, oidOf, open, TAGS, timeOf, unreadable, type Element } from "./der.ts";
import { extensionsOf, type Extensions } from "./extensions.ts";

export const OIDS = {
  ecPublicKey: "1.2.840.10045.2.1", p384: "1.3.132.0.34", ecdsaSHA384: "1.2.840.10045.4.3.3",
} as const;
const STRING_TAGS = new Set([0x03, 0x04, 0x0c, 0x12, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1a, 0x1c, 0x1e]);
const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/;

/** A parsed certificate. `key` is the public point where the algorithm is ECDSA on P-384; times are unix ms. */
export interface Certificate extends Extensions {
  readonly signed: Uint8Array;
  readonly innerAlgorithm: Uint8Array;
  readonly outerAlgorithm: Uint8Array;
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
  const outerAlgorithm = outer.take(TAGS.sequence);
  const algorithm = algorithmOf(outerAlgorithm);
  const signature = bitsOf(outer.take(TAGS.bits)).bytes;
  outer.end();
  const body = new DER(signed.content);
  if (body.next !== 0xa0) throw unreadable();
  const version = body.into(0xa0);
  if (integerOf(version.take(TAGS.integer)) !== 2n) throw unreadable();
  version.end();
  if (integerOf(body.take(TAGS.integer)) <= 0n) throw unreadable();
  const innerAlgorithm = body.take(TAGS.sequence);
  algorithmOf(innerAlgorithm);
  const issuer = nameOf(body.into(TAGS.sequence));
  const validity = body.into(TAGS.sequence);
  const [notBefore, notAfter] = [timeOf(validity.take()), timeOf(validity.take())];
  validity.end();
  const subject = nameOf(body.into(TAGS.sequence));
  const key = keyOf(body.into(TAGS.sequence));
  for (const tag of [0x81, 0x82]) {
    const id = body.maybe(tag);
    if (id) bitsOf(id);
  }
  const extensions = extensionsOf(body);
  body.end();
  return {
    signed: signed.whole, innerAlgorithm: innerAlgorithm.whole, outerAlgorithm: outerAlgorithm.whole, algorithm,
    signature, issuer, subject, notBefore, notAfter, key, ...extensions,
  };
}

/** Whether the algorithm inside the signed part is the one beside the signature. */
export function algorithmsAgree(certificate: Certificate): boolean {
  return same(certificate.innerAlgorithm, certificate.outerAlgorithm);
}

function algorithmOf({ content }: Element): string {
  const parts = new DER(content);
  const oid = oidOf(parts.take(TAGS.oid));
  const parameters = parts.done ? undefined : parts.take();
  parts.end();
  if (parameters && oid.startsWith("1.2.840.10045.4.3.")) throw unreadable();
  return oid;
}

/** A name as a text that is equal for equal names: attributes by type and value, whatever string type carries them. */
function nameOf(parts: DER): string {
  const sets: string[] = [];
  while (!parts.done) {
    const members = parts.into(TAGS.set);
    const found: string[] = [];
    let before: Uint8Array | undefined;
    while (!members.done) {
      const pair = members.take(TAGS.sequence);
      if (before && hex(before) > hex(pair.whole)) throw unreadable();
      before = pair.whole;
      found.push(attributeOf(new DER(pair.content)));
    }
    if (!found.length || new Set(found).size !== found.length) throw unreadable();
    sets.push(JSON.stringify(found.sort()));
  }
  return JSON.stringify(sets);
}

function attributeOf(pair: DER): string {
  const oid = oidOf(pair.take(TAGS.oid));
  const value = pair.take();
  pair.end();
  if (!STRING_TAGS.has(value.tag)) throw unreadable();
  return JSON.stringify([oid, stringOf(value, oid)]);
}

function stringOf({ tag, content }: Element, oid: string): string {
  if (tag === TAGS.bits) {
    if (oid !== "2.5.4.45") throw unreadable();
    return `bits ${hex(content)}`;
  }
  if (tag === TAGS.bmp || tag === TAGS.universal) return wide(content, tag === TAGS.bmp ? 2 : 4);
  const text = readUTF8(content);
  if (text === undefined || (tag === TAGS.printable && !PRINTABLE.test(text))) throw unreadable();
  return text;
}

function wide(content: Uint8Array, size: number): string {
  if (content.length % size) throw unreadable();
  let text = "";
  for (let at = 0; at < content.length; at += size) {
    const code = content.subarray(at, at + size).reduce((value, byte) => value * 256 + byte, 0);
    if (code > 0x10ffff) throw unreadable();
    text += size === 2 ? String.fromCharCode(code) : String.fromCodePoint(code);
  }
  if (/\p{Cs}/u.test(text)) throw unreadable();
  return text;
}

/** The point of an ECDSA key on P-384; undefined for every other key. */
function keyOf(info: DER): Uint8Array | undefined {
  const parts = info.into(TAGS.sequence);
  const oid = oidOf(parts.take(TAGS.oid));
  const parameters = parts.done ? undefined : parts.take();
  parts.end();
  const { bytes, padding } = bitsOf(info.take(TAGS.bits));
  info.end();
  if (oid !== OIDS.ecPublicKey) return undefined;
  if (!parameters || (parameters.tag !== TAGS.oid && parameters.tag !== TAGS.null)) throw unreadable();
  if (parameters.tag === TAGS.null && parameters.content.length) throw unreadable();
  return parameters.tag === TAGS.oid && oidOf(parameters) === OIDS.p384 && !padding ? bytes : undefined;
}
