// What Mysten's own packages make of the same bytes: blob IDs (walrus-wasm) and quilts (walrus). A list of cases
// comes as JSON on standard input, their results go out as JSON.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { encodeQuilt } from "@mysten/walrus";
import { BlobEncoder } from "@mysten/walrus-wasm";

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

const cases = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map((one) => (one.parts ? quilt(one) : blobId(one)))));
