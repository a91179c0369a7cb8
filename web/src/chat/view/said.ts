// The text of an answer as it comes: finished blocks are rendered once, the last one with each animation frame at most.
import { BlockCutter } from "../blocks.ts";
import { renderMarkdown } from "../markdown.ts";
import { h } from "./dom.ts";

/** Above this many characters an unfinished block is shown as plain text until it is finished. */
const LAST_BLOCK = 20_000;
/** Up to this many characters the whole text is rendered once more at the end, so that lists and references join up. */
const WHOLE = 64_000;

/** The place where an answer's text stands. */
export class Said {
  readonly element = h("div", { class: "c-said" });
  private readonly copy: (code: string) => HTMLElement;
  private cutter = new BlockCutter();
  private readonly last = h("div", { class: "c-block" });
  private pending = "";
  private frame = 0;
  private plain: Text | undefined;

  constructor(copy: (code: string) => HTMLElement) {
    this.copy = copy;
    this.element.append(this.last);
  }

  /** Text that came. */
  feed(text: string): void {
    this.pending += text;
    this.frame ||= requestAnimationFrame(() => this.flush());
  }

  /** Everything is there. */
  finish(whole: string): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (whole.length <= WHOLE) {
      this.show(whole);
      return;
    }
    this.flush();
    this.plain = undefined;
    this.last.replaceChildren(renderMarkdown(this.cutter.rest, this.copy));
  }

  /** A text that was there before, block by block. */
  show(whole: string): void {
    this.pending = "";
    this.plain = undefined;
    this.cutter = new BlockCutter();
    const blocks = whole.length <= WHOLE ? [] : this.cutter.feed(whole);
    const rest = whole.length <= WHOLE ? whole : this.cutter.rest;
    this.element.replaceChildren(...blocks.map((block) => this.block(block)), this.last);
    this.last.replaceChildren(renderMarkdown(rest, this.copy));
  }

  private flush(): void {
    this.frame = 0;
    const text = this.pending;
    this.pending = "";
    const done = this.cutter.feed(text);
    if (done.length > 0) {
      this.last.before(...done.map((block) => this.block(block)));
      this.plain = undefined;
    }
    const rest = this.cutter.rest;
    if (rest.length <= LAST_BLOCK) this.last.replaceChildren(renderMarkdown(rest, this.copy));
    else if (this.plain === undefined) this.last.replaceChildren((this.plain = document.createTextNode(rest)));
    else this.plain.appendData(text);
  }

  private block(text: string): HTMLElement {
    return h("div", { class: "c-block" }, renderMarkdown(text, this.copy));
  }
}
