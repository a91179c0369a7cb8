/**
 * The extensions of a certificate (RFC 5280 section 4.2): their identifiers and criticality, and what basicConstraints and
 * keyUsage say. What stands inside any other is not looked at (attestation/x509.py).
 */
import { bitsOf, defaultFalse, DER, integerOf, oidOf, open, TAGS, unreadable } from "./der.ts";

export const EXTENSIONS = { keyUsage: "551d0f", basicConstraints: "551d13" } as const;

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

/** All of them: which are critical (identifiers, hex), and what the two that matter here say. */
export interface Extensions {
  readonly critical: readonly string[];
  readonly constraints: Constraints | undefined;
  readonly usage: Usage | undefined;
}

/** Reads the extensions at the end of a certificate's signed part, if there are any. Raises `certificate_unreadable`. */
export function extensionsOf(body: DER): Extensions {
  const found = new Map<string, { readonly critical: boolean; readonly value: Uint8Array }>();
  if (body.next === 0xa3) {
    const outer = body.into(0xa3);
    const listed = outer.into(TAGS.sequence);
    outer.end();
    if (listed.done) throw unreadable();
    while (!listed.done) {
      const parts = listed.into(TAGS.sequence);
      const name = oidOf(parts.take(TAGS.oid));
      const critical = defaultFalse(parts);
      const value = parts.take(TAGS.octets).content;
      parts.end();
      if (found.has(name)) throw unreadable();
      found.set(name, { critical, value });
    }
  }
  const [constraints, usage] = [found.get(EXTENSIONS.basicConstraints), found.get(EXTENSIONS.keyUsage)];
  return {
    critical: [...found].filter(([, each]) => each.critical).map(([name]) => name),
    constraints: constraints && constraintsOf(constraints.value, constraints.critical),
    usage: usage && usageOf(usage.value, usage.critical),
  };
}

function constraintsOf(value: Uint8Array, critical: boolean): Constraints {
  const parts = open(value, TAGS.sequence);
  const ca = defaultFalse(parts);
  const limit = parts.maybe(TAGS.integer);
  parts.end();
  const pathLength = limit && integerOf(limit);
  if (pathLength !== undefined && (pathLength < 0n || !ca)) throw unreadable();
  return { critical, ca, pathLength };
}

function usageOf(value: Uint8Array, critical: boolean): Usage {
  const outer = new DER(value);
  const first = bitsOf(outer.take(TAGS.bits)).bytes[0] ?? 0;
  outer.end();
  return { critical, digitalSignature: Boolean(first & 0x80), certSign: Boolean(first & 0x04) };
}
