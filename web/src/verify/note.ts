/**
 * C2SP signed notes, verifier keys and cosignature/v1 (c2sp.org/signed-note, c2sp.org/tlog-cosignature), strictly:
 *
 * - note = text (ends in newline) || newline || lines; line = U+2014 SP name SP base64(u32 key id || signature) newline
 * - key id = SHA-256(name || 0x0A || type || public key)[:4]; vkey = name+hex(key id)+base64(type || public key)
 * - type 0x01: Ed25519 over the text; type 0x04: u64 seconds || Ed25519 over "cosignature/v1", "time <t>" and the text
 */
import { concat, endsWith, hex, lastIndexOf, readBase64, readUint, readUTF8, same, sha256, utf8 } from "./bytes.ts";
import { HallmarkError } from "./errors.ts";
import { holdsEd25519, isEd25519Key } from "./keys.ts";

export const ED25519 = 1;
export const COSIGNATURE = 4;
const DASH = "\u2014 ";
const MAX_NOTE = 65_536;
const MAX_SIGNATURES = 128;
const MAX_SECONDS = ((1n << 63n) - 1n) / 1000n;
const NEWLINES = Uint8Array.of(10, 10);
// What Python's str.isspace() says of a character, and the control characters below it.
const NO_NAME = /[\u0000-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000+]/;

/** A public key under a name: `kind` is ED25519 (a log's) or COSIGNATURE (a witness's). */
export interface VerifierKey {
  readonly name: string;
  readonly kind: number;
  readonly publicKey: Uint8Array;
  readonly id: Uint8Array;
}

/** One signature line: key name, 4-byte key id, the signature's bytes. */
export interface NoteSignature {
  readonly name: string;
  readonly keyId: Uint8Array;
  readonly data: Uint8Array;
}

/** A text with its signature lines. Nothing in it is verified. */
export interface Note {
  readonly text: Uint8Array;
  readonly signatures: readonly NoteSignature[];
}

function bad(reason: string, message: string): HallmarkError {
  return new HallmarkError(reason, message);
}

/** The two parts around the first `sign`; the second is empty without one. */
export function parted(text: string, sign: string): [string, string] {
  const at = text.indexOf(sign);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + sign.length)];
}

/** Reads a vkey. Raises `bad_vkey`. */
export function parseKey(vkey: string): VerifierKey {
  const [name, rest] = parted(vkey, "+");
  const [id, encoded] = parted(rest, "+");
  const data = readBase64(encoded);
  const kind = data?.[0];
  if (!name || NO_NAME.test(name) || !data || data.length !== 33 || (kind !== ED25519 && kind !== COSIGNATURE)) {
    throw bad("bad_vkey", "This is not a vkey of a type known here.");
  }
  const publicKey = data.subarray(1);
  const found = sha256(utf8(`${name}\n`), Uint8Array.of(kind), publicKey).subarray(0, 4);
  if (hex(found) !== id) throw bad("bad_vkey", "The vkey's id does not belong to its name and key.");
  if (!isEd25519Key(publicKey)) throw bad("bad_vkey", "The vkey's 32 bytes are no Ed25519 key that can be relied on.");
  return { name, kind, publicKey, id: found };
}

function parseLine(line: string): NoteSignature {
  const [name, encoded] = parted(line.startsWith(DASH) ? line.slice(DASH.length) : "", " ");
  const data = readBase64(encoded);
  if (!name || NO_NAME.test(name) || !data || data.length < 5) throw bad("bad_note", "A signature line is malformed.");
  return { name, keyId: data.subarray(0, 4), data: data.subarray(4) };
}

/** Reads a note. Raises `bad_note`, `note_too_large`. */
export function parseNote(data: Uint8Array): Note {
  if (data.length > MAX_NOTE) throw bad("note_too_large", `A note has at most ${MAX_NOTE} bytes.`);
  const at = lastIndexOf(data, NEWLINES);
  const control = data.some((byte) => byte < 32 && byte !== 10);
  if (at < 0 || control) throw bad("bad_note", "A note is text, an empty line, and signature lines.");
  const [text, lines] = [data.subarray(0, at + 1), data.subarray(at + 2)];
  const told = readUTF8(lines.subarray(0, -1));
  if (readUTF8(text) === undefined || told === undefined) throw bad("bad_note", "A note is UTF-8 text.");
  if (!endsWith(lines, Uint8Array.of(10))) throw bad("bad_note", "A note ends in at least one signature line.");
  const found = told.split("\n");
  if (found.length > MAX_SIGNATURES) throw bad("bad_note", `A note has at most ${MAX_SIGNATURES} signatures.`);
  return { text, signatures: found.map(parseLine) };
}

/** The lines that carry the name and id of `key`. */
export function linesBy(note: Note, key: VerifierKey): NoteSignature[] {
  return note.signatures.filter((line) => line.name === key.name && same(line.keyId, key.id));
}

/** Checks one line by the rules of the key's type. Raises `note_signature`. */
export function verifyLine(key: VerifierKey, text: Uint8Array, line: NoteSignature): void {
  let [message, raw] = [text, line.data];
  if (key.kind === COSIGNATURE) {
    const seconds = readUint(raw.subarray(0, 8));
    raw = raw.subarray(8);
    if (seconds <= 0n || seconds > MAX_SECONDS) {
      throw bad("note_signature", `The cosignature by ${key.name} has no usable time.`);
    }
    message = concat(utf8(`cosignature/v1\ntime ${seconds}\n`), text);
  }
  if (!holdsEd25519(key.publicKey, message, raw)) {
    throw bad("note_signature", `A signature by ${key.name} does not verify.`);
  }
}

/** When a cosignature was made, unix ms. */
export function timeOf(line: NoteSignature): bigint {
  return readUint(line.data.subarray(0, 8)) * 1000n;
}
