// Where the reader is in a conversation: a page follows a growing answer only for who is at its end.

/** See the head of this file. `end` is the element that grows, `foot` what covers the lower edge of the page. */
export class Scrolling {
  private readonly end: HTMLElement;
  private readonly foot: HTMLElement;
  private followed = false;

  constructor(end: HTMLElement, foot: HTMLElement) {
    this.end = end;
    this.foot = foot;
  }

  /** Scrolls to the end of the conversation. */
  toEnd(): void {
    requestAnimationFrame(() => scrollBy({ top: this.below() }));
  }

  /** Scrolls down with a growing answer, unless the reader went up. */
  stay(): void {
    if (this.followed) this.toEnd();
    this.followed = false;
  }

  /** Notes whether the reader is at the end, before something grows. */
  mark(): void {
    this.followed = this.below() < 60;
  }

  /** How far the end of the conversation stands below what can be seen, in pixels. */
  private below(): number {
    return this.end.getBoundingClientRect().bottom - (innerHeight - this.foot.offsetHeight);
  }
}
