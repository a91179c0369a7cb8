/**
 * Chains of P-384 certificates judged at a given time, with one pinned root (attestation/certificates.py).
 *
 * 1. Authorities, root first: P-384 key, SHA-384, CA flag critical, path length, keyUsage critical with keyCertSign, no
 *    other critical extension, each issued by the one before it.
 * 2. The leaf: P-384 key, no CA, keyUsage with digitalSignature and without keyCertSign, issued by the last authority.
 * 3. All of them valid at the given time.
 *
 * What does not depend on the time is remembered by the exact bytes; times are compared on every call.
 */
import { concat, hex, sha256, uint } from "./bytes.ts";
import { DER, integerOf, open, TAGS } from "./der.ts";
import { EXTENSIONS } from "./extensions.ts";
import { HallmarkError, translated } from "./errors.ts";
import { holdsP384, isP384Point } from "./keys.ts";
import { ECDSA_SHA384, readCertificate, type Certificate } from "./x509.ts";

const MAX_AUTHORITIES = 8;
const KEPT = 256;
const UNDERSTOOD: readonly string[] = [EXTENSIONS.basicConstraints, EXTENSIONS.keyUsage];

/** When one certificate is valid: first and last instant, unix ms, both inclusive. */
export interface Span {
  readonly notBefore: bigint;
  readonly notAfter: bigint;
}

/** A validated leaf: its key, and the spans from root to leaf. */
export interface Leaf {
  readonly key: Uint8Array;
  readonly spans: readonly Span[];
}

interface Authorities {
  readonly issuer: Certificate;
  readonly spans: readonly Span[];
}

const remembered = new Map<string, Authorities>();

function bad(reason: string, message: string): HallmarkError {
  return new HallmarkError(reason, message);
}

/** Validates a leaf and the authorities above it (root first, already pinned): all but the times. */
export function validate(leaf: Uint8Array, bundle: readonly Uint8Array[]): Leaf {
  const above = authorities(bundle);
  const certificate = readCertificate(leaf);
  const key = checkKey(certificate);
  checkCritical(certificate);
  if (certificate.constraints?.ca) throw bad("leaf_is_a_ca", "The certificate that signs evidence is a CA.");
  const { usage } = certificate;
  if (!usage || !usage.digitalSignature || usage.certSign) {
    throw bad("key_usage", "The leaf's keyUsage does not allow it to sign evidence.");
  }
  checkIssued(certificate, above.issuer);
  return { key, spans: [...above.spans, certificate] };
}

/** All spans contain `at`. Raises `certificate_not_yet_valid`, `certificate_expired`. */
export function checkSpans(spans: readonly Span[], at: bigint): void {
  for (const span of spans) {
    if (at < span.notBefore) throw bad("certificate_not_yet_valid", `A certificate begins at ${span.notBefore}.`);
    if (at > span.notAfter) throw bad("certificate_expired", `A certificate ended at ${span.notAfter}.`);
  }
}

function authorities(bundle: readonly Uint8Array[]): Authorities {
  const sized = bundle.map((der) => concat(uint(BigInt(der.length), 4) as Uint8Array, der));
  const name = hex(sha256(...sized));
  let found = remembered.get(name);
  if (!found) {
    found = checkBundle(bundle);
    if (remembered.size >= KEPT) remembered.clear();
    remembered.set(name, found);
  }
  return found;
}

function checkBundle(bundle: readonly Uint8Array[]): Authorities {
  if (bundle.length > MAX_AUTHORITIES) {
    throw bad("chain_too_long", `A bundle holds at most ${MAX_AUTHORITIES} certificates.`);
  }
  const chain = bundle.map(readCertificate);
  chain.forEach((certificate, depth) => {
    checkKey(certificate);
    checkAuthority(certificate, chain.length - 1 - depth);
    const issuer = chain[depth - 1];
    if (issuer) checkIssued(certificate, issuer);
  });
  return { issuer: chain[chain.length - 1] as Certificate, spans: chain };
}

function checkKey({ key, algorithm, innerAlgorithm }: Certificate): Uint8Array {
  if (!key || !isP384Point(key)) throw bad("certificate_algorithm", "A certificate's key is not on P-384.");
  if (algorithm !== ECDSA_SHA384 || innerAlgorithm !== ECDSA_SHA384) throw bad("certificate_algorithm", "A certificate is not signed with SHA-384.");
  return key;
}

function checkAuthority(certificate: Certificate, below: number): void {
  checkCritical(certificate);
  const { constraints, usage } = certificate;
  if (!constraints?.critical || !constraints.ca) throw bad("not_a_ca", "A certificate of the bundle is not a CA.");
  if (constraints.pathLength !== undefined && constraints.pathLength < BigInt(below)) {
    throw bad("path_length", "A CA certificate does not allow a chain this long.");
  }
  if (!usage?.critical || !usage.certSign) {
    throw bad("key_usage", "A CA certificate's keyUsage does not allow it to issue.");
  }
}

function checkCritical(certificate: Certificate): void {
  if (certificate.critical.some((oid) => !UNDERSTOOD.includes(oid))) {
    throw bad("critical_extension", "A certificate has a critical extension unknown here.");
  }
}

function checkIssued(certificate: Certificate, issuer: Certificate): void {
  if (certificate.issuer !== issuer.subject) {
    throw bad("chain_names", "A certificate names another issuer than the one before it.");
  }
  const broken = () => bad("chain_signature", "A certificate's signature does not hold.");
  const signature = translated(() => compact(certificate.signature), broken);
  const key = issuer.key;
  if (!key || !holdsP384(key, certificate.signed, signature)) throw broken();
}

/** A DER ECDSA signature as r || s, 48 bytes each. */
function compact(der: Uint8Array): Uint8Array {
  const parts: DER = open(der, TAGS.sequence);
  const halves = [0, 1].map(() => uint(integerOf(parts.take(TAGS.integer)), 48));
  parts.end();
  const [r, s] = halves;
  if (!r || !s) throw bad("chain_signature", "A certificate's signature does not hold.");
  return concat(r, s);
}
