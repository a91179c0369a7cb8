/** C2SP checkpoints and the strict lines that C2SP formats are made of (c2sp.org/tlog-checkpoint). */
import { readBase64, readUTF8 } from "./bytes.ts";
import { HallmarkError } from "./errors.ts";

/** A tree head: the log's origin, its size in leaves, its 32-byte root. Unverified. */
export interface Checkpoint {
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly extensions: readonly string[];
}

/** An ASCII decimal below 2^63 without leading zeroes. Raises `bad_decimal`. */
export function decimal(text: string): bigint {
  const value = /^(0|[1-9][0-9]{0,18})$/.test(text) ? BigInt(text) : undefined;
  if (value === undefined || value >= 1n << 63n) {
    throw new HallmarkError("bad_decimal", "A line does not hold a decimal number without leading zeroes.");
  }
  return value;
}

/** A base64 SHA-256 digest; 32 bytes. Raises `bad_base64`. */
export function hashLine(text: string): Uint8Array {
  const data = readBase64(text);
  if (!data || data.length !== 32) {
    throw new HallmarkError("bad_base64", "A line does not hold a 32-byte hash.");
  }
  return data;
}

/** Reads a note text. Raises `bad_checkpoint`. */
export function parseCheckpoint(text: Uint8Array): Checkpoint {
  const bad = () => new HallmarkError("bad_checkpoint", "The text is not a checkpoint.");
  const lines = readUTF8(text)?.split("\n") ?? [];
  if (lines.length < 4 || lines.pop() !== "" || lines.includes("")) throw bad();
  const [origin, size, root, ...extensions] = lines as [string, string, string, ...string[]];
  try {
    return { origin, size: decimal(size), root: hashLine(root), extensions };
  } catch {
    throw bad();
  }
}
