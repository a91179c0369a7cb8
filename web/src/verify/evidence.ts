/**
 * Judging evidence (attestation/verifier.py, judgement.py, roots.py). Obligations, in this order, the first that does not
 * hold is the reason:
 *
 * 1. the policy takes this kind, and keeps roots apart: hardware and simulated kinds share none, vendors' roots stand
 *    under their own kinds and no other does
 * 2. the kind's own checks, from the bytes to the signature (nitro.ts)
 * 3. not a debug enclave; an accepted measurement; the report data and nonce that are expected; fresh at the given time
 *
 * TDX, SGX and SEV-SNP evidence is not checked in a browser: such evidence never passes here, see `unchecked`.
 */
import { concat, EMPTY, hex, readUint, same, uint, unhex, utf8 } from "./bytes.ts";
import type { AttestationPolicy, Measurement } from "./documents.ts";
import { HallmarkError } from "./errors.ts";
import { examineNitro, type Claims } from "./nitro.ts";

/** The reason of evidence that only other verifiers can judge. The one place where Python and this verifier differ. */
export const NOT_CHECKED_HERE = "evidence_not_checked_here";

const AWS_ROOT = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";
const INTEL_ROOT = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3";
const VENDOR_ROOTS: ReadonlyMap<string, string> = new Map([["nitro", AWS_ROOT], ["tdx", INTEL_ROOT], ["sgx", INTEL_ROOT]]);
const ASSURANCE: ReadonlyMap<string, string> = new Map([
  ["nitro", "hardware"], ["nitro-dev", "simulated"], ["tdx", ""], ["sgx", ""], ["snp", ""],
]);
const FLOOR = "_FLOOR";

/** Evidence as it travels. */
export interface Evidence {
  readonly kind: string;
  readonly data: Uint8Array;
  readonly collateral: Uint8Array;
}

/** What must be bound: 64 bytes of report data, and a nonce where one is known. */
export interface Expectation {
  readonly reportData: Uint8Array;
  readonly nonce: Uint8Array | undefined;
}

/** Accepted evidence: what stands behind it, which measurement it meets, when it was made (unix ms). */
export interface Judged {
  readonly kind: string;
  readonly assurance: string;
  readonly measurement: string;
  readonly digest: Uint8Array;
  readonly registers: ReadonlyMap<string, string>;
  readonly madeAt: bigint;
}

function bad(reason: string, message: string): HallmarkError {
  return new HallmarkError(reason, message);
}

/** Reads encoded evidence: u8 length || kind || u32 length || data || u32 length || collateral. Raises `bad_evidence`. */
export function decodeEvidence(raw: Uint8Array): Evidence {
  const broken = () => bad("bad_evidence", "The bytes are not encoded evidence.");
  let at = 0;
  const take = (size: number): Uint8Array => {
    if (raw.length < at + size) throw broken();
    at += size;
    return raw.subarray(at - size, at);
  };
  const name = take(take(1)[0] ?? 0);
  const data = take(Number(readUint(take(4))));
  const collateral = take(Number(readUint(take(4))));
  if (at !== raw.length || name.some((byte) => byte > 127)) throw broken();
  return { kind: String.fromCharCode(...name), data, collateral };
}

/** Encodes evidence; the inverse of `decodeEvidence`. */
export function encodeEvidence({ kind, data, collateral }: Evidence): Uint8Array {
  const sized = (part: Uint8Array): Uint8Array => concat(uint(BigInt(part.length), 4) ?? EMPTY, part);
  return concat(Uint8Array.of(kind.length), utf8(kind), sized(data), sized(collateral));
}

/** Judges evidence at `at` (unix ms): accepted, or raises with the reason of the first step that does not hold. */
export function judge(
  evidence: Evidence, policy: AttestationPolicy, at: bigint, measurements: readonly Measurement[], expect: Expectation,
): Judged {
  const roots = acceptedRoots(evidence.kind, policy);
  const assurance = ASSURANCE.get(evidence.kind);
  if (!assurance) throw bad(NOT_CHECKED_HERE, `Evidence of kind ${evidence.kind} cannot be checked in a browser.`);
  const claims = examineNitro(evidence.data, evidence.collateral, roots, at);
  if (claims.debug && !policy.debug) throw bad("debug_mode", "This is a debug enclave: its host can read it.");
  const measurement = accepted(evidence.kind, measurements, claims, at);
  checkBinding(claims, expect);
  checkFreshness(claims, policy, at);
  const { digest, registers, madeAt } = claims;
  return { kind: evidence.kind, assurance, measurement, digest, registers, madeAt };
}

/** Whether this is the measurement that accepted evidence was judged to meet: name, kind, registers. */
export function matches(measurement: Measurement, judged: Judged): boolean {
  const exact = [...measurement.registers].filter(([name]) => !name.endsWith(FLOOR));
  const plain = (value: string): string => (value.startsWith("0x") ? value.slice(2) : value).toLowerCase();
  return (
    exact.length > 0 && measurement.evidence === judged.kind &&
    judged.measurement === `${measurement.name} ${measurement.version}` &&
    exact.every(([name, value]) => plain(judged.registers.get(name) ?? "") === plain(value))
  );
}

function acceptedRoots(kind: string, policy: AttestationPolicy): ReadonlySet<string> {
  if (!ASSURANCE.has(kind)) throw bad("kind_unknown", "There is no such evidence kind.");
  if (!policy.kinds.includes(kind)) throw bad("kind_not_accepted", `The policy does not accept ${kind} evidence.`);
  checkRoots(policy);
  const roots = new Set((policy.roots.get(kind) ?? []).map((root) => hex(unhex(root))));
  if (!roots.size) throw bad("roots_missing", `No root is accepted for ${kind} evidence.`);
  return roots;
}

function checkRoots(policy: AttestationPolicy): void {
  const owners = new Map<string, string>();
  for (const kind of [...policy.roots.keys()].sort()) {
    for (const root of new Set(policy.roots.get(kind)?.map((text) => hex(unhex(text))))) {
      const vendor = VENDOR_ROOTS.get(kind);
      if (kind === "nitro-dev" && [...VENDOR_ROOTS.values()].includes(root)) {
        throw bad("hardware_root_as_simulated", `A vendor's root stands under ${kind}.`);
      }
      if (vendor && root !== vendor) throw bad("not_a_vendor_root", `A root under ${kind} is not the vendor's own.`);
      const first = owners.get(root) ?? kind;
      owners.set(root, first);
      const bothIntel = [first, kind].every((each) => each === "tdx" || each === "sgx");
      if (first !== kind && !bothIntel) throw bad("roots_shared", `One root stands under both ${first} and ${kind}.`);
    }
  }
}

function accepted(kind: string, measurements: readonly Measurement[], claims: Claims, at: bigint): string {
  const same = measurements.filter(
    (each) => each.evidence === kind && each.registers.has("PCR0") && equals(each, claims),
  );
  if (!same.length) throw bad("measurement_not_accepted", "None of the accepted measurements is this one.");
  const high = same.filter((each) => overFloors(each, claims));
  if (!high.length) throw bad("tcb_below_floor", "The platform is below the floor that is set for it.");
  const current = high.find((each) => !each.not_after || at <= each.not_after);
  if (!current) throw bad("measurement_expired", "The measurement was accepted only until a past time.");
  return `${current.name} ${current.version}`;
}

function equals(measurement: Measurement, claims: Claims): boolean {
  return [...measurement.registers].every(
    ([name, value]) => name.endsWith(FLOOR) || `0x${claims.registers.get(name) ?? ""}` === value,
  );
}

function overFloors(measurement: Measurement, claims: Claims): boolean {
  return [...measurement.registers].every(([name, value]) => {
    if (!name.endsWith(FLOOR)) return true;
    const floor = unhex(value);
    const found = unhex(`0x${claims.registers.get(name.slice(0, -FLOOR.length)) ?? ""}`);
    return found.length === floor.length && found.every((have, byte) => have >= (floor[byte] ?? 0));
  });
}

function checkBinding(claims: Claims, expect: Expectation): void {
  if (!claims.reportData) throw bad("report_data_absent", "The evidence binds no report data.");
  if (!same(claims.reportData, expect.reportData)) {
    throw bad("report_data_mismatch", "The evidence binds another key bundle.");
  }
  if (!expect.nonce) return;
  if (!claims.nonce) throw bad("nonce_absent", "The evidence carries no nonce.");
  if (!same(claims.nonce, expect.nonce)) throw bad("nonce_mismatch", "The evidence was made for another nonce.");
}

function checkFreshness(claims: Claims, policy: AttestationPolicy, at: bigint): void {
  const age = at - claims.madeAt;
  if (age < -policy.skew) throw bad("evidence_from_future", `The evidence is dated ${-age} ms after this time.`);
  if (policy.max_age && age > policy.max_age) {
    throw bad("evidence_too_old", `It is ${age} ms old; the policy allows ${policy.max_age}.`);
  }
}
