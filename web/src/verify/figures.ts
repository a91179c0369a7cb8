/**
 * What follows from the leaves of the log alone: the root over them (RFC 6962) and the explorer's figures (services/
 * explorer/figures.py). Leaves come as C2SP entry bundles: (u16 length || leaf) one behind the other.
 *
 * 1. `entries`: leaves by kind. 2. `receipts_by_node`, `receipts_by_artifact`: receipts that carry exactly one signature,
 * which is their node's. 3. `admission_gap_ms`: of the same, admission time less `finished`; nearest-rank percentiles,
 * -1 when there is none.
 */
import { hex0x, readUint, same } from "./bytes.ts";
import { decodeEntry, splitLeaf } from "./entries.ts";
import { attempted, HallmarkError } from "./errors.ts";
import { recoverStatement } from "./keys.ts";
import { Peaks } from "./tree.ts";

/** The figures of the first `size` leaves, as /explore/figures.json has them. */
export interface Figures {
  readonly size: number;
  readonly root: string;
  readonly entries: Readonly<Record<string, number>>;
  readonly receipts_by_node: Readonly<Record<string, number>>;
  readonly receipts_by_artifact: Readonly<Record<string, number>>;
  readonly admission_gap_ms: Readonly<Record<string, number>>;
}

/** The leaves of an entry bundle. Raises `bad_bundle` when it does not end with a leaf. */
export function splitBundle(data: Uint8Array): Uint8Array[] {
  const leaves: Uint8Array[] = [];
  for (let at = 0; at < data.length; ) {
    const from = at + 2;
    at = from + Number(readUint(data.subarray(at, from)));
    if (from > data.length || at > data.length) throw new HallmarkError("bad_bundle", "The bundle is cut off.");
    leaves.push(data.subarray(from, at));
  }
  return leaves;
}

/** Counts leaves as they come, in log order. */
export class Tally {
  private readonly tree = new Peaks();
  private readonly entries = new Map<string, number>();
  private readonly nodes = new Map<string, number>();
  private readonly artifacts = new Map<string, number>();
  private readonly gaps: bigint[] = [];
  private readonly chainId: bigint;

  constructor(chainId: bigint) {
    this.chainId = chainId;
  }

  /** How many leaves were counted. */
  get size(): number {
    return Number(this.tree.size);
  }

  /** Counts one leaf. Raises `bad_leaf`, `bad_entry` for bytes that are none. */
  add(leaf: Uint8Array): void {
    this.tree.append(leaf);
    const [admitted, data] = splitLeaf(leaf);
    const { kind, statement, signatures } = decodeEntry(data);
    count(this.entries, kind);
    const [signature, ...others] = signatures;
    if (kind !== "receipt" || !signature || others.length) return;
    const node = statement.bytes("node");
    const signer = attempted(() => recoverStatement(statement, this.chainId, signature));
    if (!signer || !same(signer, node)) return;
    count(this.nodes, hex0x(node));
    count(this.artifacts, hex0x(statement.bytes("artifact")));
    this.gaps.push(admitted - statement.number("finished"));
  }

  /** The figures of all leaves so far. */
  figures(): Figures {
    const gaps = this.gaps.toSorted((one, two) => (one < two ? -1 : one > two ? 1 : 0));
    const rank = (percent: number): number => Number(gaps[Math.ceil((percent * gaps.length) / 100) - 1] ?? -1n);
    return {
      size: this.size,
      root: hex0x(this.tree.root()),
      entries: sorted(this.entries),
      receipts_by_node: sorted(this.nodes),
      receipts_by_artifact: sorted(this.artifacts),
      admission_gap_ms: { p50: rank(50), p99: rank(99) },
    };
  }
}

/** The members of two figures that differ, as `name: theirs here, ours there`; none when all are equal. */
export function differences(theirs: Figures, ours: Figures): string[] {
  const told: string[] = [];
  const compare = (name: string, one: unknown, two: unknown): void => {
    if (one !== two) told.push(`${name}: the server says ${String(one ?? "nothing")}, the leaves say ${String(two ?? "nothing")}`);
  };
  compare("size", theirs.size, ours.size);
  compare("root", theirs.root, ours.root);
  for (const group of ["entries", "receipts_by_node", "receipts_by_artifact", "admission_gap_ms"] as const) {
    const names = new Set([...Object.keys(theirs[group] ?? {}), ...Object.keys(ours[group])]);
    for (const name of [...names].sort()) compare(`${group} ${name}`, theirs[group]?.[name], ours[group][name]);
  }
  return told;
}

function count(table: Map<string, number>, name: string): void {
  table.set(name, (table.get(name) ?? 0) + 1);
}

function sorted(table: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...table].sort(([one], [two]) => (one < two ? -1 : 1)));
}
