/**
 * What a full node's verdict objects to (core/objected.py): runs of log positions, each with one reason.
 * 44 bytes a run: u64 first || u32 count || bytes32 reason. Runs ascend and do not overlap.
 */
import { readUint, same, sha256, utf8 } from "./bytes.ts";
import type { Entry } from "./entries.ts";
import { textOf } from "./typed.ts";

const RUN = 44;
const MAX_RUNS = 128;
const MAX_POSITIONS = 4_096n;
const TAG = utf8("hallmark/objected/v1\0");

/** Positions from `first` up to, not including, `end`, and the reason that holds against each. */
export interface Run {
  readonly first: bigint;
  readonly end: bigint;
  readonly reason: string;
}

/** The list in a verdict's attachment; undefined unless it is well-formed. */
export function decodeRuns(data: Uint8Array): readonly Run[] | undefined {
  if (!data.length || data.length % RUN || data.length > RUN * MAX_RUNS) return undefined;
  const runs: Run[] = [];
  let [end, total] = [0n, 0n];
  for (let at = 0; at < data.length; at += RUN) {
    const first = readUint(data.subarray(at, at + 8));
    const count = readUint(data.subarray(at + 8, at + 12));
    const reason = textOf(data.subarray(at + 12, at + RUN));
    total += count;
    if (!count || first < end || total > MAX_POSITIONS || !/^[\x20-\x7e]+$/.test(reason)) return undefined;
    end = first + count;
    runs.push({ first, end, reason });
  }
  return runs;
}

/** Why a verdict objects to the entry at `index`; undefined when it does not. */
export function objectionIn({ statement, attachments }: Entry, index: bigint): string | undefined {
  const [list, ...others] = attachments;
  if (!list || others.length || !same(sha256(TAG, list), statement.bytes("objected"))) return undefined;
  const runs = decodeRuns(list);
  if (!runs || (runs.at(-1)?.end ?? 0n) > statement.number("size")) return undefined;
  return runs.find((run) => run.first <= index && index < run.end)?.reason;
}
