// Cutting a growing text into markdown blocks that no later byte can change, so that each is rendered once. Pure.

const FENCE = /^ {0,3}(`{3,}|~{3,})/;

/** Cuts off blocks as they become final. A block ends at an empty line outside of a code fence, before a line that starts anew. */
export class BlockCutter {
  private text = "";
  private scanned = 0;
  private fence = "";
  private blank = false;

  /** The blocks that `more` completes. */
  feed(more: string): string[] {
    this.text += more;
    const done: string[] = [];
    for (let end = this.text.indexOf("\n", this.scanned); end >= 0; end = this.text.indexOf("\n", this.scanned)) {
      const line = this.text.slice(this.scanned, end);
      if (this.blank && startsAnew(line)) {
        done.push(this.text.slice(0, this.scanned));
        this.text = this.text.slice(this.scanned);
        end -= this.scanned;
        this.scanned = 0;
      }
      this.look(line);
      this.scanned = end + 1;
    }
    return done;
  }

  /** What is not final yet. */
  get rest(): string {
    return this.text;
  }

  private look(line: string): void {
    const mark = FENCE.exec(line)?.[1] ?? "";
    if (this.fence === "") {
      this.fence = mark;
      this.blank = mark === "" && line.trim() === "";
    } else if (mark.startsWith(this.fence) && line.trim() === mark) {
      this.fence = "";
      this.blank = false;
    }
  }
}

/** A line that cannot belong to the list, quote or paragraph before an empty line. */
function startsAnew(line: string): boolean {
  return line.trim() !== "" && !/^(\s|[-*+>]|\d{1,9}[.)])/.test(line);
}

/** Cuts spoken text into whole sentences for a screen reader. */
export class SentenceCutter {
  private text = "";

  /** The sentences that `more` completes, as one text; "" when none is complete. */
  feed(more: string): string {
    this.text += more;
    let end = 0;
    for (const found of this.text.matchAll(/[.!?:](?=\s)|\n/g)) end = found.index + 1;
    const done = this.text.slice(0, end).replace(/\s+/g, " ").trim();
    this.text = this.text.slice(end);
    return done;
  }

  /** What is left when the answer ends. */
  rest(): string {
    const left = this.text.replace(/\s+/g, " ").trim();
    this.text = "";
    return left;
  }
}
