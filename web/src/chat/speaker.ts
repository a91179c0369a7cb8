// Streamed text for screen readers, sentence by sentence, and changes of marks in one short line.
import { SentenceCutter } from "./blocks.ts";

const LEAST_GAP = 1_500;

/** Writes whole sentences into a live region, not faster than they can be read out. */
export class Speaker {
  private readonly region: HTMLElement;
  private readonly cutter = new SentenceCutter();
  private queue = "";
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(region: HTMLElement) {
    this.region = region;
  }

  /** Text that came. */
  feed(text: string): void {
    this.say(this.cutter.feed(text));
  }

  /** The answer ended; the rest of it is said. */
  finish(): void {
    this.say(this.cutter.rest());
  }

  /** Says a line after what is queued. */
  say(text: string): void {
    if (text === "") return;
    this.queue = this.queue === "" ? text : `${this.queue} ${text}`;
    this.timer ??= setTimeout(() => this.flush(), 50);
  }

  private flush(): void {
    this.timer = undefined;
    const line = document.createElement("p");
    line.textContent = this.queue;
    this.queue = "";
    this.region.append(line);
    while (this.region.children.length > 6) this.region.firstElementChild?.remove();
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (this.queue !== "") this.flush();
    }, LEAST_GAP);
  }
}
