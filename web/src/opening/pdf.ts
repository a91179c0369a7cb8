/**
 * The dossier inside a PDF that the explorer wrote (apps/web/pdf.py). No reader of PDFs: the cross-reference table, the
 * catalogue's list of attachments, one file, stored or deflated; anything of another shape is refused, and
 * `hallmark verify` reads more of them. What comes out is believed no more than any other file.
 */
import { HallmarkError } from "../verify/errors.ts";

const MOST = 64 << 20;
const MOST_PDF = MOST + (16 << 20);
const MOST_OBJECTS = 100_000;
const SUFFIX = ".hallmark.json";

/** Whether a file says that it is a PDF. */
export function isPDF(data: Uint8Array): boolean {
  return startsAt(data, 0, "%PDF-");
}

/**
 * The bytes of the one attachment whose name ends in `.hallmark.json`. Raises `bad_pdf`, `pdf_too_large`,
 * `no_attached_dossier`, `several_attached_dossiers`.
 */
export async function attachedDossier(pdf: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  if (pdf.length > MOST_PDF) throw tooLarge();
  if (!isPDF(pdf)) throw new HallmarkError("bad_pdf", "This is not a PDF.");
  const file = new Objects(pdf);
  const listed = /\/Names <<\/EmbeddedFiles <<\/Names \[([^\]]*)\]>>\s*>>/.exec(file.object(file.root));
  const pairs = [...(listed?.[1] ?? "").matchAll(/\(([^()\\]*)\) (\d{1,6}) 0 R/g)];
  const [found, ...others] = pairs.filter(([, name]) => name?.endsWith(SUFFIX));
  if (found === undefined) throw new HallmarkError("no_attached_dossier", `No file named *${SUFFIX} is attached to this PDF in the way of this network's pages.`, ELSE);
  if (others.length > 0) throw new HallmarkError("several_attached_dossiers", "More than one dossier is attached: which one is meant?");
  const content = /\/EF <<\/F (\d{1,6}) 0 R>>/.exec(file.object(Number(found[2])))?.[1];
  return file.stream(Number(content ?? bad()));
}

const ELSE = "Give the .hallmark.json file itself, or use `hallmark verify`, which reads more PDFs.";

/** A file's objects, by its one cross-reference table (ISO 32000-2, 7.5.4). */
class Objects {
  readonly root: number;
  private readonly data: Uint8Array<ArrayBuffer>;
  private readonly offsets = new Map<number, number>();

  constructor(data: Uint8Array<ArrayBuffer>) {
    this.data = data;
    const end = latin(data, Math.max(0, data.length - 64), data.length);
    const table = Number(/startxref\n(\d{1,9})\n%%EOF\s*$/.exec(end)?.[1] ?? bad());
    const rest = latin(data, table, data.length);
    const [head, count] = /^xref\n0 (\d{1,6})\n/.exec(rest) ?? bad();
    if (Number(count) > MOST_OBJECTS) bad();
    for (let at = 0; at < Number(count); at++) {
      const line = /^(\d{10}) \d{5} ([nf])[ \r]\n$/.exec(rest.slice(head.length + 20 * at, head.length + 20 * (at + 1))) ?? bad();
      if (line[2] === "n") this.offsets.set(at, Number(line[1]));
    }
    const trailer = rest.slice(head.length + 20 * Number(count));
    if (!trailer.startsWith("trailer\n") || /\/(Encrypt|Prev|XRefStm)\b/.test(trailer)) bad();
    this.root = Number(/\/Root (\d{1,6}) 0 R/.exec(trailer)?.[1] ?? bad());
  }

  /** The text of an object, to the end of its dictionary. */
  object(number: number): string {
    const from = this.start(number);
    const text = latin(this.data, from, Math.min(from + 65_536, this.data.length));
    const ends = [text.indexOf("\nstream\n"), text.indexOf("\nendobj")].filter((end) => end >= 0);
    return ends.length ? text.slice(0, Math.min(...ends)) : bad();
  }

  /** The bytes of a stream object. */
  async stream(number: number): Promise<Uint8Array<ArrayBuffer>> {
    const head = this.object(number);
    const from = this.start(number) + head.length + "\nstream\n".length;
    const length = Number(/\/Length (\d{1,9})(?=[\s/>])/.exec(head)?.[1] ?? bad());
    const held = this.data.slice(from, from + length);
    if (held.length !== length || !startsAt(this.data, from - 8, "\nstream\n") || !startsAt(this.data, from + length, "\nendstream")) bad();
    const filter = /\/Filter ([^\n]*)/.exec(head)?.[1];
    if (filter === undefined) return held.length > MOST ? Promise.reject(tooLarge()) : held;
    if (filter.trim() !== "/FlateDecode" || head.includes("/DecodeParms")) bad();
    return inflated(held);
  }

  private start(number: number): number {
    const from = this.offsets.get(number) ?? bad();
    const head = `${number} 0 obj\n`;
    return startsAt(this.data, from, head) ? from + head.length : bad();
  }
}

async function inflated(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const reader = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const parts: BlobPart[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read().catch(() => bad());
    if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
    size += value.length;
    if (size > MOST) {
      await reader.cancel();
      throw tooLarge();
    }
    parts.push(value);
  }
}

function bad(): never {
  throw new HallmarkError("bad_pdf", "This PDF is not one that this network's pages wrote, or it was changed since.", ELSE);
}

function tooLarge(): HallmarkError {
  return new HallmarkError("pdf_too_large", `A filed receipt has at most ${MOST_PDF} bytes, its dossier ${MOST}.`);
}

function startsAt(data: Uint8Array, at: number, text: string): boolean {
  return latin(data, at, at + text.length) === text;
}

/** Bytes as characters of the same numbers, so that places in one are places in the other. */
function latin(data: Uint8Array, from: number, to: number): string {
  const parts: string[] = [];
  for (let at = from; at < Math.min(to, data.length); at += 8192) parts.push(String.fromCharCode(...data.subarray(at, Math.min(at + 8192, to))));
  return parts.join("");
}
