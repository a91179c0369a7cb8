// What is typed and not sent is kept, a moment after the last key.
import type { Library } from "./library.ts";

const PAUSE_MS = 400;

/** See the head of this file. */
export class Drafts {
  private readonly library: Library;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(library: Library) {
    this.library = library;
  }

  /** Something was typed in a conversation. */
  typed(id: string, text: string): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.library.keepDraft(id, text).catch(() => undefined), PAUSE_MS);
  }

  /** Forgets what was typed in a conversation: it was sent. */
  async sent(id: string): Promise<void> {
    clearTimeout(this.timer);
    await this.library.keepDraft(id, "");
  }
}
