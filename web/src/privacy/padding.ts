/**
 * Padding: requests grow to a size class with zeros behind the message, which Binary HTTP allows; the coding
 * `hallmark-padded` puts an answer's bytes into frames of u32be length || data || zeros, each as long as a class.
 */
import { concat, EMPTY, readUint } from "../verify/bytes.ts";
import { HallmarkError } from "../verify/errors.ts";

/** The coding's name in accept-encoding and content-encoding. */
export const PADDED = "hallmark-padded";
const LEAST_REQUEST = 1024;
const LEAST_FRAME = 256;
const LARGEST_FRAME = 1 << 20;
const LENGTH = 4;

function power(size: number, least: number): number {
  let found = least;
  while (found < size) found *= 2;
  return found;
}

/** The size class of a request of `size` bytes. */
export function requestClass(size: number): number {
  return power(size, LEAST_REQUEST);
}

/** The request with zeros up to its class. */
export function padRequest(data: Uint8Array): Uint8Array {
  return concat(data, new Uint8Array(requestClass(data.length) - data.length));
}

/** Takes frames apart as they come. Throws `bad_padding`. */
export class FrameReader {
  private held: Uint8Array = EMPTY;

  /** The data of the frames that `piece` completes. */
  feed(piece: Uint8Array): Uint8Array {
    this.held = concat(this.held, piece);
    const found: Uint8Array[] = [];
    while (this.held.length >= LENGTH) {
      const length = Number(readUint(this.held.subarray(0, LENGTH)));
      const size = power(LENGTH + length, LEAST_FRAME);
      if (size > LARGEST_FRAME) throw malformed();
      if (this.held.length < size) break;
      const end = LENGTH + length;
      if (this.held.subarray(end, size).some((byte) => byte !== 0)) throw malformed();
      found.push(this.held.slice(LENGTH, end));
      this.held = this.held.slice(size);
    }
    return concat(...found);
  }

  /** Call when everything came. */
  end(): void {
    if (this.held.length > 0) throw malformed();
  }
}

function malformed(): HallmarkError {
  return new HallmarkError("bad_padding", "The sealed answer's frames do not fit together.", "Ask again; its node is at fault.");
}
