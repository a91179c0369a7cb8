/**
 * What was logged between a receipt and the checkpoint that proves it: objections, or that there is none
 * (verification/after.py). A full node cosigns only what holds its verdicts, so whoever holds every leaf up to the
 * checkpoint's end sees every objection of those who cosigned. The leaves prove themselves: the inclusion path's left
 * siblings are the perfect subtrees before the receipt, and with its leaf and those after it they must give the root.
 */
import { hex, hex0x, same, unbase64 } from "./bytes.ts";
import { decodeEntry, leafOf, splitLeaf, type Entry } from "./entries.ts";
import { attempted } from "./errors.ts";
import { required, type Placed } from "./examination.ts";
import { recoverStatement } from "./keys.ts";
import { pathOf, type ProvenPlace } from "./proof.ts";
import { Peaks, sides } from "./tree.ts";
import { networkId, type Trust } from "./trust.ts";
import { objectionIn } from "./objected.ts";
import { textOf } from "./typed.ts";

/** What the leaves after a receipt hold against it: its state (undefined: nothing), by how many full nodes, why. */
export interface Objections {
  readonly state: "disputed" | "failed" | undefined;
  readonly by: number;
  readonly reason: string;
}

/** What the leaves behind a receipt's entry say; undefined if they are not shown. Raises `after_mismatch`. */
export function objectionsTo(placed: Placed | undefined, trust: Trust): Objections | undefined {
  const { place, part } = placed ?? {};
  if (!place || !part || part.after === null) return undefined;
  const after = part.after.map(unbase64);
  return objectionsBehind(place, pathOf(part.proof ?? ""), leafOf(part.admitted, unbase64(part.bytes)), after, trust);
}

/** What the leaves `after` hold against `leaf`, which stands at `place` by the path of its proof. Raises `after_mismatch` unless they are all. */
export function objectionsBehind(place: ProvenPlace, path: readonly Uint8Array[], leaf: Uint8Array, after: readonly Uint8Array[], trust: Trust): Objections {
  const leaves = [leaf, ...after];
  const left = path.filter((_, step) => sides(place.index, place.size)[step]);
  required(place.index + BigInt(leaves.length) === place.size, "after_mismatch");
  required(left.length === ones(place.index), "after_mismatch");
  // Left siblings come smallest first; as peaks of a tree of `index` leaves they stand largest first.
  const tree = new Peaks(place.index, left.reverse());
  for (const each of leaves) tree.append(each);
  required(same(tree.root(), place.root), "after_mismatch");
  return found(place.index, after, trust);
}

function ones(value: bigint): number {
  return value.toString(2).replaceAll("0", "").length;
}

/** A verdict that f+1 full nodes refute does not count; one that counts disputes, f+1 make it failed. */
function found(index: bigint, after: readonly Uint8Array[], trust: Trust): Objections {
  const verdicts = new Map<string, [bigint, string]>();
  const refuted = new Map<bigint, Set<string>>();
  const object = (author: string, at: bigint, reason: string): void => {
    if (!verdicts.has(author)) verdicts.set(author, [at, reason]);
  };
  after.forEach((data, step) => {
    const at = index + 1n + BigInt(step);
    const entry = attempted(() => decodeEntry(splitLeaf(data)[1]));
    if (!entry || !["verdict", "fault"].includes(entry.kind) || !isByFullNode(entry, trust)) return;
    const { kind, statement } = entry;
    const author = hex(statement.bytes("author"));
    if (kind === "verdict") {
      const reason = statement.number("size") <= at ? objectionIn(entry, index) : undefined;
      if (reason) object(author, at, reason);
      return;
    }
    const [fault, first] = [textOf(statement.bytes("kind")), statement.number("first")];
    if (fault === "refuted_verdict") refuted.set(first, (refuted.get(first) ?? new Set()).add(author));
    else if (fault === "equivocation" && [first, statement.number("second")].includes(index)) object(author, at, fault);
  });
  const counting = [...verdicts.values()].filter(([at]) => BigInt(refuted.get(at)?.size ?? 0) <= trust.f);
  const first = counting[0];
  if (!first) return { state: undefined, by: 0, reason: "" };
  const state = BigInt(counting.length) > trust.f ? "failed" : "disputed";
  return { state, by: counting.length, reason: first[1] };
}

function isByFullNode({ statement, signatures }: Entry, trust: Trust): boolean {
  const [signature, ...others] = signatures;
  if (!signature || others.length) return false;
  const signer = attempted(() => recoverStatement(statement, trust.chain_id, signature));
  return (
    signer !== undefined && trust.full_nodes.some((address) => address === hex0x(signer)) &&
    same(signer, statement.bytes("author")) && same(statement.bytes("network"), networkId(trust.origin))
  );
}
