// What Mysten's own packages make of the same bytes: blob IDs, slivers, BLS signatures (walrus-wasm) and quilts
// (walrus). A list of cases comes as JSON on standard input, their results go out as JSON.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { encodeQuilt } from "@mysten/walrus";
import {
  BlobEncoder,
  bls12381_min_pk_aggregate,
  bls12381_min_pk_verify,
  bls12381_min_pk_verify_aggregate,
} from "@mysten/walrus-wasm";

function contents(text) {
  return Uint8Array.from(Buffer.from(text, "base64"));
}

function blobId({ shards, data }) {
  const [id] = new BlobEncoder(shards).compute_metadata(contents(data));
  return Buffer.from(id).toString("base64url");
}

function quilt({ shards, parts }) {
  const blobs = parts.map(({ identifier, tags, data }) => ({ identifier, tags, contents: contents(data) }));
  const made = encodeQuilt({ blobs, numShards: shards, encodingType: "RS2" });
  return {
    size: made.quilt.length,
    sha256: createHash("sha256").update(made.quilt).digest("hex"),
    patches: made.index.patches.map(({ identifier, startIndex, endIndex }) => [identifier, startIndex, endIndex]),
  };
}

// A sliver as its encoder writes it (BCS): length as ULEB128, symbols, symbol size, index.
function uleb(length) {
  return length < 128 ? 1 : 1 + uleb(length >> 7);
}

function slivers({ shards, data, sizes, symbol }) {
  const buffers = sizes.map((size) => Array.from({ length: shards }, () => new Uint8Array(uleb(size) + size + 4)));
  new BlobEncoder(shards).encode(contents(data), ...buffers);
  return buffers.map((kind, which) =>
    kind.map((one) => {
      const view = new DataView(one.buffer, one.length - 4);
      if (view.getUint16(0, true) !== symbol) throw new Error("another symbol size");
      const bytes = one.slice(uleb(sizes[which]), one.length - 4);
      return [view.getUint16(2, true), createHash("sha256").update(bytes).digest("hex")];
    }),
  );
}

function signatures({ message, keys, signed, sum }) {
  const points = keys.map(contents);
  return {
    each: signed.map((one, index) => bls12381_min_pk_verify(contents(one), points[index], contents(message))),
    sum: Buffer.from(bls12381_min_pk_aggregate(signed.map(contents))).toString("base64"),
    holds: bls12381_min_pk_verify_aggregate(points, contents(message), contents(sum)),
  };
}

function made(one) {
  if (one.parts) return quilt(one);
  if (one.signed) return signatures(one);
  return one.sizes ? slivers(one) : blobId(one);
}

const cases = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(made)));
