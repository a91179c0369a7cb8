// The text of an answer as it comes: finished blocks are rendered once, the last one with each animation frame at most, and
// no frame spends more than a few milliseconds on it, however much came at once.
import { BlockCutter } from "../blocks.ts";
import { renderMarkdown } from "../markdown.ts";
import { h } from "./dom.ts";

/** Above this many characters an unfinished block is shown as plain text until it is finished. */
const LAST_BLOCK = 20_000;
/** Up to this many characters the whole text is rendered once more at the end, so that lists and references join up. */
const WHOLE = 64_000;
/** How long one frame may render (ms). */
const BUDGET = 8;

/** The place where an answer's text stands. */
export class Said {
  readonly element = h("div", { class: "c-said", "data-quoted": "" });
  private readonly copy: (code: string) => HTMLElement;
  private readonly last = h("div", { class: "c-block" });
  private cutter = new BlockCutter();
  private waiting: HTMLElement[] = [];
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
    this.soon();
  }

  /** Everything is there; `whole` is what the receipt covers. */
  finish(whole: string): void {
    const shown = whole.length > WHOLE && this.element.children.length > 1;
    if (!shown) return this.show(whole);
    this.flush();
    this.plain = undefined;
    this.last.replaceChildren(renderMarkdown(this.cutter.rest, this.copy));
  }

  /** A text that is there at once. */
  show(whole: string): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.pending = "";
    this.plain = undefined;
    this.waiting = [];
    this.cutter = new BlockCutter();
    this.element.replaceChildren(this.last);
    if (whole.length <= WHOLE) this.last.replaceChildren(renderMarkdown(whole, this.copy));
    else this.feed(whole);
  }

  private soon(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.flush();
    });
  }

  private flush(): void {
    const text = this.pending;
    this.pending = "";
    const done = text === "" ? [] : this.cutter.feed(text);
    if (done.length > 0) {
      // Plain first: a thousand blocks as text cost little, and each is rendered when its turn comes.
      const blocks = done.map((block) => h("div", { class: "c-block c-raw" }, block));
      this.last.before(...blocks);
      this.waiting.push(...blocks);
      this.plain = undefined;
    }
    this.drawRest(text);
    this.drawWaiting();
  }

  private drawRest(more: string): void {
    const rest = this.cutter.rest;
    if (more === "") return;
    if (rest.length <= LAST_BLOCK) this.last.replaceChildren(renderMarkdown(rest, this.copy));
    else if (this.plain === undefined) this.last.replaceChildren((this.plain = document.createTextNode(rest)));
    else this.plain.appendData(more);
  }

  private drawWaiting(): void {
    const until = performance.now() + BUDGET;
    let drawn = 0;
    for (; drawn < this.waiting.length && performance.now() < until; drawn += 1) {
      const block = this.waiting[drawn];
      if (block === undefined) break;
      const fragment = renderMarkdown(block.textContent, this.copy);
      block.className = "c-block";
      block.replaceChildren(fragment);
    }
    this.waiting = this.waiting.slice(drawn);
    if (this.waiting.length > 0) this.soon();
  }
}
