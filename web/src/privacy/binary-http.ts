/** Binary HTTP (RFC 9292): requests in known-length form, responses in either form, read as they come. */
import { concat, EMPTY, utf8 } from "../verify/bytes.ts";
import { HallmarkError } from "../verify/errors.ts";
import { readVarint, varint } from "./varint.ts";

/** A header or trailer field; names are in lower case. */
export type Field = readonly [name: string, value: string];

/** A request. */
export interface Request {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly headers: readonly Field[];
  readonly content: Uint8Array;
}

/** A response's head. */
export interface Head {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
}

const KNOWN = 1;
const INDETERMINATE = 3;
/** No honest response has more before it. */
const MOST_INTERIM = 32;
/** A section of fields is never longer (bytes), nor has it more fields. */
const MOST_HEAD = 256 << 10;
const MOST_FIELDS = 256;
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
/** Without white space around it. */
const VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;
const WITHOUT_CONTENT: readonly number[] = [204, 304];

function sized(data: Uint8Array): Uint8Array {
  return concat(varint(data.length), data);
}

/** The request in known-length form, without trailers. */
export function encodeRequest({ method, scheme, authority, path, headers, content }: Request): Uint8Array {
  const control = [method, scheme, authority, path].map((text) => sized(utf8(text)));
  const fields = headers.flatMap(([name, value]) => [sized(utf8(name)), sized(utf8(value))]);
  return concat(varint(0), ...control, sized(concat(...fields)), sized(content), varint(0));
}

function bad(): HallmarkError {
  return new HallmarkError("bad_binary_http", "The sealed answer is not a response.", "Ask again; its node is at fault.");
}

/** What stands next in a response. */
type State = "framing" | "status" | "fields" | "content" | "trailers" | "padding";

/** Reads a response as it comes. Throws `bad_binary_http`. */
export class ResponseParser {
  /** Once it has come. */
  head: Head | undefined;
  private held: Uint8Array = EMPTY;
  private state: State = "framing";
  private known = false;
  private status = 0;
  private interim = 0;
  private fields = 0;
  private headers = new Map<string, string>();
  /** Whether a section of unknown length has begun: then it ends with a zero. */
  private begun = false;
  /** Bytes of the section that are still to come, in known-length form; -1 before its length came. */
  private left = -1;

  /** The content that `data` completes. */
  feed(data: Uint8Array): Uint8Array {
    this.held = this.held.length === 0 ? data : concat(this.held, data);
    const content: Uint8Array[] = [];
    while (this.step(content));
    if (this.state !== "content" && this.held.length > MOST_HEAD) throw bad();
    return content.length === 1 ? (content[0] as Uint8Array) : concat(...content);
  }

  /** Call when everything came: sections at the end may be left out (RFC 9292 section 3.8), one that has begun may not break off. */
  end(): void {
    const sections: readonly State[] = ["fields", "content", "trailers"];
    const omitted = sections.includes(this.state) && this.left <= 0 && !this.begun && this.held.length === 0;
    const cut = this.state === "fields" && this.status >= 100 && this.status < 200;
    if ((!omitted && this.state !== "padding") || cut) throw bad();
    if (this.state === "fields") this.head = { status: this.status, headers: this.headers };
    if (!this.head) throw bad();
  }

  private step(content: Uint8Array[]): boolean {
    switch (this.state) {
      case "framing":
        return this.number((value) => {
          if (value !== KNOWN && value !== INDETERMINATE) throw bad();
          this.known = value === KNOWN;
          this.state = "status";
        });
      case "status":
        return this.number((value) => {
          if (value < 100 || value > 599) throw bad();
          this.status = value;
          this.headers = new Map();
          this.state = "fields";
        });
      case "fields":
      case "trailers":
        return this.known ? this.knownFields() : this.oneField();
      case "content":
        return this.known ? this.knownContent(content) : this.oneChunk(content);
      case "padding":
        if (this.held.some((byte) => byte !== 0)) throw bad();
        this.held = EMPTY;
        return false;
    }
  }

  private number(use: (value: number) => void): boolean {
    const found = readVarint(this.held, 0);
    if (!found) return false;
    use(found[0]);
    this.held = this.held.subarray(found[1]);
    return true;
  }

  private knownFields(): boolean {
    const found = readVarint(this.held, 0);
    if (!found) return false;
    const [length, start] = found;
    if (length > MOST_HEAD) throw bad();
    if (this.held.length < start + length) return false;
    const section = this.held.subarray(start, start + length);
    for (let at = 0; at < section.length;) {
      const line = readLine(section, at);
      if (!line) throw bad();
      this.field(line.name, line.value);
      at = line.end;
    }
    this.held = this.held.subarray(start + length);
    this.section();
    return true;
  }

  private oneField(): boolean {
    if (this.held[0] === 0) {
      this.held = this.held.subarray(1);
      this.begun = false;
      this.section();
      return true;
    }
    const line = readLine(this.held, 0);
    if (!line) return false;
    this.field(line.name, line.value);
    this.begun = true;
    this.held = this.held.subarray(line.end);
    return true;
  }

  private knownContent(content: Uint8Array[]): boolean {
    if (this.left < 0) return this.number((value) => (this.left = value));
    const part = this.held.subarray(0, this.left);
    if (this.left > 0 && WITHOUT_CONTENT.includes(this.status)) throw bad();
    if (part.length > 0) content.push(part);
    this.left -= part.length;
    this.held = this.held.subarray(part.length);
    if (this.left > 0) return false;
    this.state = "trailers";
    return true;
  }

  private oneChunk(content: Uint8Array[]): boolean {
    if (this.left <= 0) {
      return this.number((value) => {
        if (value > 0 && WITHOUT_CONTENT.includes(this.status)) throw bad();
        if (value === 0) this.state = "trailers";
        this.begun = value > 0;
        this.left = value;
      });
    }
    if (this.held.length === 0) return false;
    const part = this.held.subarray(0, this.left);
    content.push(part);
    this.left -= part.length;
    this.held = this.held.subarray(part.length);
    return true;
  }

  private field(name: string, value: string): void {
    this.fields += 1;
    if (this.fields > MOST_FIELDS || !NAME.test(name) || !VALUE.test(value)) throw bad();
    if (this.state === "trailers") return;
    const before = this.headers.get(name);
    this.headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }

  /** A section of fields has ended. */
  private section(): void {
    this.fields = 0;
    if (this.state === "trailers") {
      this.state = "padding";
    } else if (this.status < 200) {
      this.interim += 1;
      if (this.interim > MOST_INTERIM) throw bad();
      this.state = "status";
    } else {
      this.head = { status: this.status, headers: this.headers };
      this.state = "content";
      this.left = -1;
    }
  }
}

function readLine(data: Uint8Array, at: number): { name: string; value: string; end: number } | undefined {
  const name = readText(data, at);
  const value = name && readText(data, name.end);
  return name && value ? { name: name.text, value: value.text, end: value.end } : undefined;
}

function readText(data: Uint8Array, at: number): { text: string; end: number } | undefined {
  const found = readVarint(data, at);
  if (!found) return undefined;
  const [length, start] = found;
  if (length > MOST_HEAD) throw bad();
  if (data.length < start + length) return undefined;
  const text = Array.from(data.subarray(start, start + length), (byte) => String.fromCharCode(byte)).join("");
  return { text, end: start + length };
}
