// The conversations of this device: kept sealed in the vault, found again by title or text, shared with other windows.
import { joined, readDossier, dossierText } from "./dossier.ts";
import { readBundle, type Bundle } from "./exporting.ts";
import { merged } from "./merge.ts";
import { emptyConversation, onPath, remove, type Conversation, type Path } from "./tree.ts";
import type { Vault } from "./vault.ts";

const CONVERSATION = "conversation:";
const DOSSIER = "dossier:";
const DRAFT = "draft:";

/** The conversation was deleted in another window, so what happened here since has no place any more. */
export class Deleted extends Error {}

/**
 * All conversations, newest first, and what belongs to them. Several windows may have one open: each keeps what it did since
 * it last read (`base`), and what is kept is never overwritten but merged, in one transaction.
 */
export class Library {
  readonly vault: Vault;
  private readonly all = new Map<string, Conversation>();
  private readonly base = new Map<string, Conversation>();
  /** By conversation the messages that were in the vault at some time. */
  private readonly seen = new Map<string, Set<string>>();
  private readonly told: (id: string) => void;
  private turn: Promise<unknown> = Promise.resolve();

  /** `told` is called with the id of every conversation that was written or deleted. */
  constructor(vault: Vault, told: (id: string) => void = () => undefined) {
    this.vault = vault;
    this.told = told;
  }

  /** Reads what is kept. A record that cannot be read is left where it is and counted. */
  async load(): Promise<number> {
    let unreadable = 0;
    this.all.clear();
    this.base.clear();
    this.seen.clear();
    for (const name of await this.vault.names(CONVERSATION)) {
      try {
        const conversation = read(await this.vault.get(name));
        if (conversation === undefined) continue;
        this.all.set(conversation.id, conversation);
        this.standsIn(conversation);
      } catch {
        unreadable += 1;
      }
    }
    return unreadable;
  }

  /** Conversations whose title or text holds every word of `query`; newest first. */
  list(query = ""): Conversation[] {
    const words = query
      .toLowerCase()
      .split(/\s+/)
      .filter((word) => word !== "");
    const holds = (conversation: Conversation): boolean => {
      const text = [conversation.title, ...Object.values(conversation.messages).map((message) => message.text)]
        .join("\n")
        .toLowerCase();
      return words.every((word) => text.includes(word));
    };
    const found = [...this.all.values()].filter((conversation) => words.length === 0 || holds(conversation));
    return found.sort((one, other) => other.updated - one.updated);
  }

  /** A conversation by id. */
  get(id: string): Conversation | undefined {
    return this.all.get(id);
  }

  /** A new conversation that is not kept until something is said in it. */
  begin(model: string, policy: string, path: Path = "plain"): Conversation {
    const conversation = onPath(emptyConversation(crypto.randomUUID(), Date.now(), model, policy), path);
    this.all.set(conversation.id, conversation);
    return conversation;
  }

  /**
   * Keeps a conversation with what other windows added to it, and with the dossiers of its answers where given: an answer and
   * its salts are kept together or not at all. Returns what is kept. Throws Deleted.
   */
  save(conversation: Conversation, dossiers: Readonly<Record<string, string>> = {}): Promise<Conversation> {
    this.all.set(conversation.id, conversation);
    const base = this.base.get(conversation.id);
    return this.inTurn(() => this.keep(conversation, dossiers, base));
  }

  /** `base` is what this window knew when it made `conversation`: others may have written since, and this window have read it. */
  private async keep(
    conversation: Conversation,
    dossiers: Readonly<Record<string, string>>,
    base: Conversation | undefined,
  ): Promise<Conversation> {
    const { id } = conversation;
    const names = Object.keys(dossiers).map((message) => DOSSIER + message);
    let kept = conversation;
    await this.vault.change([CONVERSATION + id, ...names], (found) => {
      const theirs = read(found.get(CONVERSATION + id));
      if (theirs === undefined && this.base.has(id)) throw this.gone(id);
      kept = theirs === undefined ? conversation : merged(base, theirs, conversation, this.deletedIn(conversation));
      const writes = new Map<string, string | undefined>([[CONVERSATION + id, JSON.stringify(kept)]]);
      for (const [message, text] of Object.entries(dossiers)) {
        if (message in kept.messages) writes.set(DOSSIER + message, grownText(found.get(DOSSIER + message), text));
      }
      return writes;
    });
    return this.settle(conversation, kept);
  }

  /** Reads what another window did to a conversation, whose state here is `mine`. Undefined when it is deleted. */
  refresh(id: string, mine: () => Conversation | undefined): Promise<Conversation | undefined> {
    return this.inTurn(async () => {
      const theirs = read(await this.vault.get(CONVERSATION + id));
      const own = mine() ?? this.all.get(id);
      if (theirs === undefined) {
        if (this.base.has(id)) this.gone(id);
        return this.all.get(id);
      }
      const now = own === undefined ? theirs : merged(this.base.get(id), theirs, own, this.deletedIn(own));
      this.standsIn(theirs);
      this.all.set(id, now);
      return now;
    });
  }

  /** Deletes a conversation with every dossier in it: the salts are gone, so the log's digests say nothing any more. */
  drop(id: string): Promise<void> {
    return this.inTurn(async () => {
      await this.vault.change([CONVERSATION + id], (found) => {
        const theirs = read(found.get(CONVERSATION + id));
        const messages = Object.keys({ ...this.all.get(id)?.messages, ...theirs?.messages });
        const names = [CONVERSATION + id, DRAFT + id, ...messages.map((message) => DOSSIER + message)];
        return new Map(names.map((name) => [name, undefined]));
      });
      this.gone(id);
      this.told(id);
    });
  }

  /** Deletes a message and what follows from it, with their dossiers. */
  prune(conversation: Conversation, message: string): Promise<Conversation> {
    const { id } = conversation;
    return this.inTurn(async () => {
      let left = conversation;
      await this.vault.change([CONVERSATION + id], (found) => {
        const theirs = read(found.get(CONVERSATION + id));
        const whole = theirs === undefined ? conversation : merged(this.base.get(id), theirs, conversation, this.deletedIn(conversation));
        const pruned = remove(whole, message);
        left = pruned.conversation;
        const gone = pruned.removed.map((one): [string, undefined] => [DOSSIER + one, undefined]);
        return new Map<string, string | undefined>([[CONVERSATION + id, JSON.stringify(left)], ...gone]);
      });
      this.all.set(id, left);
      return this.settle(left, left);
    });
  }

  /** The dossier of an answer, as text. */
  dossier(message: string): Promise<string | undefined> {
    return this.vault.get(DOSSIER + message);
  }

  /** Keeps the dossier of an answer, if its conversation still has it. What is kept of it already, salts above all, is never lost. */
  async keepDossier(message: string, text: string): Promise<void> {
    const owner = [...this.all.values()].find((one) => message in one.messages);
    if (owner === undefined) return;
    await this.vault.change([CONVERSATION + owner.id, DOSSIER + message], (found) => {
      const theirs = read(found.get(CONVERSATION + owner.id));
      if (theirs === undefined || !(message in theirs.messages)) return undefined;
      return new Map([[DOSSIER + message, grownText(found.get(DOSSIER + message), text)]]);
    });
  }

  /** What was typed and not sent. */
  async draft(id: string): Promise<string> {
    return (await this.vault.get(DRAFT + id)) ?? "";
  }

  /** Keeps what is typed; an empty text deletes it. */
  keepDraft(id: string, text: string): Promise<void> {
    return text === "" || !this.all.has(id) ? this.vault.delete([DRAFT + id]) : this.vault.put(DRAFT + id, text);
  }

  /** Conversations with their dossiers, for a file; all of them without ids. */
  async bundle(ids: readonly string[] = []): Promise<Bundle> {
    const conversations = ids.length === 0 ? this.list() : ids.flatMap((id) => this.all.get(id) ?? []);
    const dossiers: Record<string, string> = {};
    for (const conversation of conversations) {
      for (const [id, message] of Object.entries(conversation.messages)) {
        const text = message.answer === null ? undefined : await this.dossier(id);
        if (text !== undefined) dossiers[id] = text;
      }
    }
    return { conversations, dossiers };
  }

  /** Takes a file's conversations in; what is here of them already stays, and what the file adds becomes branches. Returns how many. */
  async take(bundle: Bundle): Promise<number> {
    for (const conversation of bundle.conversations) {
      const ids = Object.keys(conversation.messages).filter((id) => bundle.dossiers[id] !== undefined);
      const dossiers = Object.fromEntries(ids.map((id) => [id, bundle.dossiers[id] ?? ""]));
      this.base.delete(conversation.id);
      this.seen.delete(conversation.id);
      await this.save(conversation, dossiers);
    }
    return bundle.conversations.length;
  }

  /** `kept` is in the vault, and came from `saved`; this window may have gone on since. */
  private settle(saved: Conversation, kept: Conversation): Conversation {
    const now = this.all.get(kept.id);
    this.standsIn(kept);
    this.all.set(kept.id, now === undefined || now === saved ? kept : merged(saved, kept, now));
    this.told(kept.id);
    return kept;
  }

  /** The vault holds this now. */
  private standsIn(conversation: Conversation): void {
    const { id, messages } = conversation;
    this.base.set(id, conversation);
    this.seen.set(id, new Set([...(this.seen.get(id) ?? []), ...Object.keys(messages)]));
  }

  /**
   * Whether a message that either the vault or `mine` lacks was deleted. This window deletes in the vault at once (`prune`), so
   * what `mine` alone lacks it does not know yet, however much this window has read since `mine` was made; and what the
   * vault alone lacks was deleted there if it ever held it.
   */
  private deletedIn(mine: Conversation): (message: string) => boolean {
    return (message) => message in mine.messages && this.seen.get(mine.id)?.has(message) === true;
  }

  /** One after the other: what a window knows and what it writes never cross. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.turn.then(work);
    this.turn = done.catch(() => undefined);
    return done;
  }

  private gone(id: string): Deleted {
    this.all.delete(id);
    this.base.delete(id);
    this.seen.delete(id);
    return new Deleted("This conversation was deleted in another window.");
  }
}

function read(text: string | undefined): Conversation | undefined {
  return text === undefined
    ? undefined
    : readBundle({ conversations: [JSON.parse(text)], dossiers: {} }).conversations[0];
}

/** A dossier's text with what was kept of it before; of two receipts' dossiers under one name the first stays. */
function grownText(kept: string | undefined, text: string): string {
  if (kept === undefined || kept === text) return text;
  try {
    return dossierText(joined(readDossier(kept), readDossier(text)));
  } catch {
    return kept;
  }
}
