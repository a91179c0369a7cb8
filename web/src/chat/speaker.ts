// Streamed text for screen readers, sentence by sentence, and changes of marks in one short line.
import { SentenceCutter } from "./blocks.ts";

const LEAST_GAP = 1_500;

/** A line that waits; `quoted`: the answer's words, which never stand in one line with the page's own. */
interface Waiting {
  readonly quoted: boolean;
  readonly text: string;
}

/** Writes whole sentences into a live region, not faster than they can be read out. Who listens hears whose they are. */
export class Speaker {
  private readonly region: HTMLElement;
  private readonly cutter = new SentenceCutter();
  private queue: Waiting[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(region: HTMLElement) {
    this.region = region;
  }

  /** Text that came. */
  feed(text: string): void {
    this.add(true, this.cutter.feed(text));
  }

  /** The answer ended; the rest of it is said. */
  finish(): void {
    this.add(true, this.cutter.rest());
  }

  /** Says a line of the page's own after what is queued. */
  say(text: string): void {
    this.add(false, text);
  }

  private add(quoted: boolean, text: string): void {
    if (text === "") return;
    const last = this.queue.at(-1);
    if (last?.quoted === quoted) this.queue[this.queue.length - 1] = { quoted, text: `${last.text} ${text}` };
    else this.queue.push({ quoted, text });
    this.timer ??= setTimeout(() => this.flush(), 50);
  }

  private flush(): void {
    this.timer = undefined;
    for (const { quoted, text } of this.queue) {
      const line = document.createElement("p");
      line.textContent = `${quoted ? "The answer says" : "This page says"}: ${text}`;
      if (quoted) line.setAttribute("data-quoted", "");
      this.region.append(line);
    }
    this.queue = [];
    while (this.region.children.length > 6) this.region.firstElementChild?.remove();
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.queue.length > 0) this.flush();
    }, LEAST_GAP);
  }
}
