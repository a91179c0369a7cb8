/**
 * C2SP tlog-policy: which logs and witnesses are known, and which of them make a quorum (c2sp.org/tlog-policy).
 *
 *     log <vkey> [<url>]      witness <name> <vkey> [<url>]
 *     group <name> all|any|<k> <member>...      quorum <name>|none
 *
 * A public key may occur once among the logs and once among the witnesses, and a name may be a member once, so that one
 * key counts once in one way.
 */
import { same } from "./bytes.ts";
import { parseCheckpoint, type Checkpoint } from "./checkpoint.ts";
import { decimal } from "./checkpoint.ts";
import { HallmarkError, translated } from "./errors.ts";
import { COSIGNATURE, ED25519, linesBy, parseKey, timeOf, verifyLine, type Note, type VerifierKey } from "./note.ts";

const NONE = "none";
const MAX_POLICY = 65_536;

interface Party {
  readonly name: string;
  readonly key: VerifierKey;
}

interface Group {
  readonly name: string;
  readonly threshold: bigint;
  readonly members: readonly string[];
}

/** A parsed policy; groups are in the order of their lines, members before their groups. */
export interface QuorumPolicy {
  readonly logs: readonly Party[];
  readonly witnesses: readonly Party[];
  readonly groups: readonly Group[];
  readonly quorum: string;
}

/**
 * A checkpoint that a policy's log signed and its quorum cosigned; `times` in unix ms, in the order of `signers`. `unknown`
 * counts the lines that no key of the policy made; a known signer's line may stand more than once, each of them verified.
 */
export interface CosignedCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly signers: readonly string[];
  readonly times: readonly bigint[];
  readonly unknown: number;
}

function bad(message: string): HallmarkError {
  return new HallmarkError("bad_policy", message);
}

function freshKey(vkey: string, kind: number, known: readonly Party[]): VerifierKey {
  const key = parseKey(vkey);
  if (key.kind !== kind) throw bad("the key is of the wrong type for its line.");
  if (known.some((party) => same(party.key.publicKey, key.publicKey))) throw bad("the public key occurs twice.");
  return key;
}

class Reader {
  readonly logs: Party[] = [];
  readonly witnesses: Party[] = [];
  readonly groups: Group[] = [];
  quorum = "";
  private readonly free = new Set<string>();
  private readonly names = new Set<string>([NONE]);

  line(words: readonly string[]): void {
    const [kind, ...rest] = words;
    if (kind === "log" && (rest.length === 1 || rest.length === 2)) {
      const key = freshKey(rest[0] as string, ED25519, this.logs);
      this.logs.push({ name: key.name, key });
    } else if (kind === "witness" && (rest.length === 2 || rest.length === 3)) {
      const key = freshKey(rest[1] as string, COSIGNATURE, this.witnesses);
      this.define(rest[0] as string);
      this.witnesses.push({ name: rest[0] as string, key });
    } else if (kind === "group" && rest.length >= 2) {
      this.group(rest);
    } else if (kind === "quorum" && rest.length === 1) {
      if (this.quorum) throw bad("there is a quorum line already.");
      if (!this.names.has(rest[0] as string)) throw bad("the quorum is not defined above.");
      this.quorum = rest[0] as string;
    } else {
      throw bad("the line is malformed.");
    }
  }

  private group([name, rule, ...members]: readonly string[]): void {
    const known = members.every((member) => this.free.has(member));
    if (!members.length || !known || new Set(members).size !== members.length) {
      throw bad("a member is unknown, or a member already.");
    }
    for (const member of members) this.free.delete(member);
    const count = BigInt(members.length);
    const threshold = rule === "all" ? count : rule === "any" ? 1n : decimal(rule as string);
    if (threshold < 1n || threshold > count) throw bad("the threshold is not between 1 and the number of members.");
    this.define(name as string);
    this.groups.push({ name: name as string, threshold, members });
  }

  private define(name: string): void {
    if (this.names.has(name)) throw bad("the name is taken.");
    this.names.add(name);
    this.free.add(name);
  }
}

/** Reads a policy's text. Raises `bad_policy` naming the line. */
export function parsePolicy(text: string): QuorumPolicy {
  if ([...text].length > MAX_POLICY || /[\u0000-\u0008\u000b-\u001f\u007f]/.test(text)) {
    throw bad("A policy is a short text without control characters.");
  }
  const reader = new Reader();
  for (const [number, line] of text.split("\n").entries()) {
    const words = line.replaceAll("\t", " ").split(" ").filter(Boolean);
    if (!words.length || words[0]?.startsWith("#")) continue;
    translated(() => reader.line(words), (error) => bad(`Line ${number + 1} of the policy: ${error.message}`));
  }
  if (!reader.quorum) throw bad("The policy has no quorum line.");
  return reader;
}

function isMet(policy: QuorumPolicy, signers: Iterable<string>): boolean {
  if (policy.quorum === NONE) return true;
  const met = new Set(signers);
  for (const group of policy.groups) {
    if (BigInt(group.members.filter((member) => met.has(member)).length) >= group.threshold) met.add(group.name);
  }
  return met.has(policy.quorum);
}

function verifyLogSignature(policy: QuorumPolicy, note: Note): Checkpoint {
  const checkpoint = parseCheckpoint(note.text);
  if (checkpoint.extensions.length) {
    throw new HallmarkError("checkpoint_extension", "The checkpoint has extension lines.");
  }
  let signed = false;
  for (const { key } of policy.logs) {
    if (key.name !== checkpoint.origin) continue;
    for (const line of linesBy(note, key)) {
      verifyLine(key, note.text, line);
      signed = true;
    }
  }
  if (!signed) {
    throw new HallmarkError("log_signature_missing", `No known key of ${checkpoint.origin} signed this.`);
  }
  return checkpoint;
}

/**
 * Checks a checkpoint against a policy.
 *
 * 1. One of the policy's logs, named as the origin, signed it; no extension lines.
 * 2. Every cosignature line by a key of the policy verifies; lines by unknown keys are ignored.
 * 3. The witnesses behind them, each counted once, make the quorum.
 *
 * Raises `bad_checkpoint`, `log_signature_missing`, `checkpoint_extension`, `note_signature`, `quorum_not_met`.
 */
export function verifyQuorum(policy: QuorumPolicy, note: Note): CosignedCheckpoint {
  const checkpoint = verifyLogSignature(policy, note);
  const times = new Map<string, bigint>();
  for (const { name, key } of policy.witnesses) {
    for (const line of linesBy(note, key)) {
      verifyLine(key, note.text, line);
      const [time, newest] = [timeOf(line), times.get(name) ?? 0n];
      times.set(name, time > newest ? time : newest);
    }
  }
  if (!isMet(policy, times.keys())) {
    const told = `${times.size} of ${policy.witnesses.length} witnesses cosigned: not the quorum.`;
    throw new HallmarkError("quorum_not_met", told);
  }
  const logs = policy.logs.filter(({ key }) => key.name === checkpoint.origin);
  const known = new Set([...logs, ...policy.witnesses].flatMap(({ key }) => linesBy(note, key)));
  const unknown = note.signatures.filter((line) => !known.has(line)).length;
  return { checkpoint, signers: [...times.keys()], times: [...times.values()], unknown };
}
