/** RFC 6962 trees with SHA-256: leaf hash = SHA-256(0x00 || leaf), node hash = SHA-256(0x01 || left || right). */
import { concat, same, sha256 } from "./bytes.ts";
import { HallmarkError } from "./errors.ts";

export const EMPTY_ROOT = sha256();
export const MAX_PROOF = 64;
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** SHA-256(0x00 || data); 32 bytes. */
export function leafHash(data: Uint8Array): Uint8Array {
  return sha256(LEAF, data);
}

/** SHA-256(0x01 || left || right); 32 bytes. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(concat(NODE, left, right));
}

/** A tree that grows leaf by leaf and keeps only the roots of its perfect subtrees, largest first. */
export class Peaks {
  private readonly peaks: Uint8Array[];
  size: bigint;

  constructor(size = 0n, peaks: readonly Uint8Array[] = []) {
    this.size = size;
    this.peaks = [...peaks];
  }

  /** Adds a leaf by its data. */
  append(data: Uint8Array): void {
    let value = leafHash(data);
    for (let rest = this.size; rest & 1n; rest >>= 1n) value = nodeHash(this.peaks.pop() as Uint8Array, value);
    this.peaks.push(value);
    this.size += 1n;
  }

  /** The root over all leaves; SHA-256("") without any. */
  root(): Uint8Array {
    return this.peaks.reduceRight<Uint8Array | undefined>(
      (below, peak) => (below ? nodeHash(peak, below) : peak), undefined,
    ) ?? EMPTY_ROOT;
  }
}

/** The root over leaf data; 32 bytes. */
export function rootOf(leaves: Iterable<Uint8Array>): Uint8Array {
  const tree = new Peaks();
  for (const leaf of leaves) tree.append(leaf);
  return tree.root();
}

/** For each step of an inclusion path whether the sibling stands left (RFC 9162 section 2.1.3.2). */
export function sides(index: bigint, size: bigint): boolean[] {
  const found: boolean[] = [];
  let [at, last] = [index, size - 1n];
  while (last > 0n) {
    const left = Boolean(at & 1n) || at === last;
    found.push(left);
    while (left && !(at & 1n) && at) [at, last] = [at >> 1n, last >> 1n];
    [at, last] = [at >> 1n, last >> 1n];
  }
  return found;
}

/** Whether `path` leads from the leaf at `index` to the root of `size` leaves. */
export function leads(leaf: Uint8Array, index: bigint, size: bigint, path: readonly Uint8Array[], root: Uint8Array): boolean {
  if (index < 0n || index >= size) return false;
  const turns = sides(index, size);
  if (turns.length !== path.length) return false;
  const top = path.reduce(
    (value, sibling, step) => (turns[step] ? nodeHash(sibling, value) : nodeHash(value, sibling)), leafHash(leaf),
  );
  return same(top, root);
}

/** Checks that leaf hash `leaf` is at `index` in the tree (size, root). Raises `inclusion_proof`. */
export function verifyInclusion(
  leaf: Uint8Array, index: bigint, size: bigint, proof: readonly Uint8Array[], root: Uint8Array,
): void {
  const bad = (message: string) => new HallmarkError("inclusion_proof", message);
  if (index < 0n || index >= size || proof.length > MAX_PROOF) throw bad(`There is no leaf ${index} in a tree of ${size}.`);
  let [first, last, total] = [index, size - 1n, leaf];
  for (const step of proof) {
    if (last === 0n) throw bad("The inclusion proof is too long.");
    if (first & 1n || first === last) {
      total = nodeHash(step, total);
      while (!(first & 1n) && first) [first, last] = [first >> 1n, last >> 1n];
    } else {
      total = nodeHash(total, step);
    }
    [first, last] = [first >> 1n, last >> 1n];
  }
  if (last || !same(total, root)) throw bad("The inclusion proof does not lead to the root.");
}
