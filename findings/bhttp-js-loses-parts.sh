#!/usr/bin/env bash
# bhttp-js 0.2.1 (npm): what goes through this Binary HTTP (RFC 9292) codec is not what comes out. Encoding drops the query of the
# URL; decoding keeps the last of repeated fields, drops trailers, refuses every 204 and 304, and takes messages that were cut off in
# the middle of their content, in both forms, for whole ones, which the RFC calls invalid. Whoever seals with it asks for another path.
#
# Seen:
#   query:                       https://node.test/v1/x
#   repeated field 1, 2:         2
#   trailer:                     null
#   204:                         TypeError
#   304:                         TypeError
#   4 of 9 bytes of content:     200 half
#   a piece, and no end:         200 half
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --ignore-scripts --no-audit --no-fund bhttp-js@0.2.1
cat > parts.mjs <<'JS'
import { BHttpDecoder, BHttpEncoder } from "bhttp-js";

const text = (s) => [...new TextEncoder().encode(s)];
const sized = (bytes) => [bytes.length, ...bytes];
const field = (name, value) => [...sized(text(name)), ...sized(text(value))];
const bytes = (...parts) => Uint8Array.from(parts.flat());
const [ok, noContent, notModified] = [[0x40, 200], [0x40, 204], [0x41, 0x30]];
const control = ["GET", "https", "node.test", "/v1/x"].map((part) => sized(text(part))).flat();
const decoder = new BHttpDecoder();
const answer = async (...parts) => {
  try {
    return await decoder.decodeResponse(bytes(...parts));
  } catch (error) {
    return error.name;
  }
};
const whole = async (answered) => `${answered.status} ${await answered.text()}`;

const sent = await new BHttpEncoder().encodeRequest(new Request("https://node.test/v1/x?a=b"));
const twice = bytes([0], control, sized([...field("x-a", "1"), ...field("x-a", "2")]), [0, 0]);
const trailed = await answer([1], ok, [0], sized(text("body")), sized(field("x-after", "1")));
const seen = [
  ["query:", (await decoder.decodeRequest(sent)).url],
  ["repeated field 1, 2:", (await decoder.decodeRequest(twice)).headers.get("x-a")],
  ["trailer:", String(trailed.headers.get("x-after"))],
  ["204:", await answer([1], noContent, [0, 0, 0])],
  ["304:", await answer([1], notModified, [0, 0, 0])],
  ["4 of 9 bytes of content:", await whole(await answer([1], ok, [0, 9], text("half")))],
  ["a piece, and no end:", await whole(await answer([3], ok, [0], sized(text("half"))))],
];
for (const [what, found] of seen) console.log(what.padEnd(28), found);
const expected = "https://node.test/v1/x|2|null|TypeError|TypeError|200 half|200 half";
process.exit(seen.map(([, found]) => found).join("|") === expected ? 0 : 1);
JS
node parts.mjs
