// Several windows of this browser with the chat open: each tells the others what it wrote, and what it is asking now.

const CHANNEL = "hallmark-chat";
const ASKING = "hallmark-chat-answer:";

/** See the head of this file. Without the browser's locks or channels a window simply does not know of others. */
export class Windows {
  /** Ids of answers that another window is waiting for now. */
  elsewhere: ReadonlySet<string> = new Set();
  private readonly channel = new BroadcastChannel(CHANNEL);
  private readonly own = new Set<string>();
  private readonly awaited = new Set<string>();

  /** `changed` is called with the id of a conversation that another window wrote. */
  constructor(changed: (id: string) => void) {
    this.channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data === "string") changed(data);
    };
  }

  /** Tells the others that a conversation was written or deleted. */
  tell(id: string): void {
    this.channel.postMessage(id);
  }

  /** Does `work` for an answer; meanwhile other windows can see that it is under way. It ends with this window at the latest. */
  async asking<T>(answer: string, work: () => Promise<T>): Promise<T> {
    this.own.add(answer);
    try {
      return navigator.locks === undefined ? await work() : await navigator.locks.request(ASKING + answer, work);
    } finally {
      this.own.delete(answer);
    }
  }

  /** Looks which of `answers` are under way in another window; `over` is called once for each when it ends, however it ends. */
  async look(over: (answer: string) => void): Promise<void> {
    if (navigator.locks === undefined) return;
    const { held = [] } = await navigator.locks.query();
    const names = held.map(({ name }) => name ?? "").filter((name) => name.startsWith(ASKING));
    this.elsewhere = new Set(names.map((name) => name.slice(ASKING.length)).filter((id) => !this.own.has(id)));
    for (const id of this.elsewhere) {
      if (this.awaited.has(id)) continue;
      this.awaited.add(id);
      const ended = (): void => {
        this.awaited.delete(id);
        this.elsewhere = new Set([...this.elsewhere].filter((one) => one !== id));
        over(id);
      };
      void navigator.locks.request(ASKING + id, { mode: "shared" }, () => undefined).then(ended, ended);
    }
  }
}
