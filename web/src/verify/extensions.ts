/** The extensions of a certificate (RFC 5280 section 4.2), as far as they are understood; the others are only named. */
import { bitsOf, booleanOf, DER, integerOf, oidOf, open, TAGS, unreadable, type Element } from "./der.ts";

export const EXTENSIONS = {
  subjectKeyId: "2.5.29.14", keyUsage: "2.5.29.15", basicConstraints: "2.5.29.19", crlPoints: "2.5.29.31",
  authorityKeyId: "2.5.29.35",
} as const;

/** What basicConstraints says. */
export interface Constraints {
  readonly critical: boolean;
  readonly ca: boolean;
  readonly pathLength: bigint | undefined;
}

/** What keyUsage says, of what matters here. */
export interface Usage {
  readonly critical: boolean;
  readonly digitalSignature: boolean;
  readonly certSign: boolean;
}

/** All of them: which are critical, and what the two that matter here say. */
export interface Extensions {
  readonly critical: readonly string[];
  readonly constraints: Constraints | undefined;
  readonly usage: Usage | undefined;
}

/** Reads the extensions at the end of a certificate's signed part, if there are any. Raises `certificate_unreadable`. */
export function extensionsOf(body: DER): Extensions {
  const critical: string[] = [];
  let constraints: Constraints | undefined;
  let usage: Usage | undefined;
  const known = new Set<string>();
  if (body.next === 0xa3) {
    const outer = body.into(0xa3);
    const listed = outer.into(TAGS.sequence);
    outer.end();
    if (listed.done) throw unreadable();
    while (!listed.done) {
      const extension = listed.into(TAGS.sequence);
      const oid = oidOf(extension.take(TAGS.oid));
      const flag = extension.maybe(TAGS.boolean);
      const isCritical = flag ? booleanOf(flag) : false;
      const value = extension.take(TAGS.octets).content;
      extension.end();
      if ((flag && !isCritical) || known.has(oid)) throw unreadable();
      known.add(oid);
      if (isCritical) critical.push(oid);
      if (oid === EXTENSIONS.basicConstraints) constraints = constraintsOf(value, isCritical);
      if (oid === EXTENSIONS.keyUsage) usage = usageOf(value, isCritical);
      if (oid === EXTENSIONS.subjectKeyId) open(value, TAGS.octets);
      if (oid === EXTENSIONS.authorityKeyId) checkAuthorityKeyId(open(value, TAGS.sequence));
      if (oid === EXTENSIONS.crlPoints) checkCRLPoints(open(value, TAGS.sequence));
    }
  }
  return { critical, constraints, usage };
}

function constraintsOf(value: Uint8Array, critical: boolean): Constraints {
  const parts = open(value, TAGS.sequence);
  const flag = parts.maybe(TAGS.boolean);
  const ca = flag ? booleanOf(flag) : false;
  const length = parts.maybe(TAGS.integer);
  parts.end();
  const pathLength = length && integerOf(length);
  const wrong = pathLength !== undefined && (pathLength < 0n || pathLength >> 64n || !ca);
  if ((flag && !ca) || wrong) throw unreadable();
  return { critical, ca, pathLength };
}

function usageOf(value: Uint8Array, critical: boolean): Usage {
  const outer = new DER(value);
  const { bytes } = bitsOf(outer.take(TAGS.bits));
  outer.end();
  const bit = (at: number): boolean => Boolean((bytes[at >> 3] ?? 0) & (0x80 >> (at & 7)));
  if ((bit(7) || bit(8)) && !bit(4)) throw unreadable();
  return { critical, digitalSignature: bit(0), certSign: bit(5) };
}

function checkAuthorityKeyId(parts: DER): void {
  parts.maybe(0x80);
  const names = parts.maybe(0xa1);
  const serial = parts.maybe(0x82);
  if (serial) integerOf(serial);
  if (Boolean(names) !== Boolean(serial)) throw unreadable();
  parts.end();
}

function checkCRLPoints(points: DER): void {
  while (!points.done) {
    const point = points.into(TAGS.sequence);
    const name = point.maybe(0xa0);
    const reasons = point.maybe(0x81);
    const issuer = point.maybe(0xa2);
    point.end();
    if (reasons) bitsOf(reasons);
    if (!name && !issuer) throw unreadable();
    if (issuer) checkGeneralNames(new DER(issuer.content));
    if (!name) continue;
    const choice = new DER(name.content);
    const chosen = choice.take();
    choice.end();
    if (chosen.tag === 0xa0) checkGeneralNames(new DER(chosen.content));
    else if (chosen.tag !== 0xa1) throw unreadable();
  }
}

function checkGeneralNames(names: DER): void {
  while (!names.done) checkGeneralName(names.take());
}

function checkGeneralName(name: Element): void {
  const isText = [0x81, 0x82, 0x86].includes(name.tag);
  if (isText && name.content.some((byte) => byte > 127)) throw unreadable();
  if (name.tag === 0x88) oidOf(name);
  if (name.tag === 0xa0) {
    const other = new DER(name.content);
    oidOf(other.take(TAGS.oid));
    open(other.take(0xa0).whole, 0xa0).take();
    other.end();
  }
  if (!isText && ![0xa0, 0xa3, 0xa4, 0xa5, 0x87, 0x88].includes(name.tag)) throw unreadable();
}
