/**
 * C2SP tlog-proof: one text that shows offline that a leaf is in a log and that a quorum saw it (c2sp.org/tlog-proof).
 *
 *     c2sp.org/tlog-proof@v1 [extra <base64>] index <decimal>
 *     <base64 hash> ...            the inclusion proof, from the leaf's sibling up
 *     <empty line> <the checkpoint, a signed note>
 */
import { readBase64, utf8 } from "./bytes.ts";
import { decimal, hashLine, parseCheckpoint } from "./checkpoint.ts";
import { HallmarkError, translated } from "./errors.ts";
import { parseNote, parted, type Note } from "./note.ts";
import { parsePolicy, verifyQuorum, type CosignedCheckpoint, type QuorumPolicy } from "./quorum.ts";
import { leafHash, MAX_PROOF, verifyInclusion } from "./tree.ts";

const MAGIC = "c2sp.org/tlog-proof@v1";
const KEPT = 64;

/** An entry proven to stand in a quorum-cosigned checkpoint; `of` is how many full nodes the policy knows. */
export interface ProvenPlace {
  readonly index: bigint;
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly signers: readonly string[];
  readonly unknown: number;
  readonly of: number;
  readonly cosignedAt: bigint;
}

interface Proof {
  readonly index: bigint;
  readonly path: readonly Uint8Array[];
  readonly note: Note;
  readonly noteText: string;
}

function bad(): HallmarkError {
  return new HallmarkError("bad_proof", "The text is not a tlog-proof.");
}

function parseProof(text: string): Proof {
  const at = text.indexOf("\n\n");
  const head = at < 0 ? text : text.slice(0, at);
  if (at < 0 || /[^\u0000-\u007f]/.test(head)) throw bad();
  const noteText = text.slice(at + 2);
  const [magic, ...rest] = head.split("\n");
  let index = rest.shift();
  if (index?.startsWith("extra ")) {
    if (!readBase64(index.slice("extra ".length))) throw bad();
    index = rest.shift();
  }
  if (magic !== MAGIC || !index?.startsWith("index ") || rest.length > MAX_PROOF) throw bad();
  const note = parseNote(utf8(noteText));
  parseCheckpoint(note.text);
  return { index: decimal(index.slice("index ".length)), path: rest.map(hashLine), note, noteText };
}

/** The inclusion path of a proof that verified and has no extra line. */
export function pathOf(proof: string): Uint8Array[] {
  return parted(proof, "\n\n")[0].split("\n").slice(2).map(hashLine);
}

/** Verifies proofs under one policy. A checkpoint that several proofs share is verified once. */
export class ProofVerifier {
  readonly policy: QuorumPolicy;
  private readonly known = new Map<string, CosignedCheckpoint>();

  /** Raises `bad_policy`. */
  constructor(policy: string) {
    this.policy = parsePolicy(policy);
  }

  /**
   * Checks that `leaf` is in a log of the policy and that the policy's quorum witnessed it.
   *
   * 1. The text is a tlog-proof.
   * 2. Its checkpoint passes `verifyQuorum`.
   * 3. Its path leads from the leaf at its index to the checkpoint's root.
   */
  verify(leaf: Uint8Array, text: string): ProvenPlace {
    const proof = translated(() => parseProof(text), bad);
    const verified = this.checkpoint(proof);
    const { size, root } = verified.checkpoint;
    verifyInclusion(leafHash(leaf), proof.index, size, proof.path, root);
    return {
      index: proof.index,
      size,
      root,
      signers: verified.signers,
      unknown: verified.unknown,
      of: this.policy.witnesses.length,
      cosignedAt: verified.times.reduce((newest, time) => (time > newest ? time : newest), 0n),
    };
  }

  private checkpoint({ note, noteText }: Proof): CosignedCheckpoint {
    let found = this.known.get(noteText);
    if (!found) {
      found = verifyQuorum(this.policy, note);
      if (this.known.size >= KEPT) this.known.clear();
      this.known.set(noteText, found);
    }
    return found;
  }
}
