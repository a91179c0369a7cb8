// The conversations of this device: kept sealed in the vault, found again by title or text.
import { emptyConversation, remove, type Conversation } from "./tree.ts";
import { readBundle, type Bundle } from "./exporting.ts";
import type { Vault } from "./vault.ts";

const CONVERSATION = "conversation:";
const DOSSIER = "dossier:";
const DRAFT = "draft:";

/** All conversations, newest first, and what belongs to them. */
export class Library {
  readonly vault: Vault;
  private readonly all = new Map<string, Conversation>();

  constructor(vault: Vault) {
    this.vault = vault;
  }

  /** Reads what is kept. A record that cannot be read is left where it is and counted. */
  async load(): Promise<number> {
    let unreadable = 0;
    this.all.clear();
    for (const name of await this.vault.names(CONVERSATION)) {
      try {
        const text = await this.vault.get(name);
        const bundle = readBundle({ conversations: [JSON.parse(text ?? "null")], dossiers: {} });
        for (const conversation of bundle.conversations) this.all.set(conversation.id, conversation);
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
  begin(model: string, policy: string): Conversation {
    const conversation = emptyConversation(crypto.randomUUID(), Date.now(), model, policy);
    this.all.set(conversation.id, conversation);
    return conversation;
  }

  /** Keeps a conversation as it is now. */
  async save(conversation: Conversation): Promise<void> {
    this.all.set(conversation.id, conversation);
    await this.vault.put(CONVERSATION + conversation.id, JSON.stringify(conversation));
  }

  /** Deletes a conversation with every dossier in it: the salts are gone, so the log's digests say nothing any more. */
  async drop(id: string): Promise<void> {
    const messages = Object.keys(this.all.get(id)?.messages ?? {});
    this.all.delete(id);
    await this.vault.delete([CONVERSATION + id, DRAFT + id, ...messages.map((message) => DOSSIER + message)]);
  }

  /** Deletes a message and what follows from it, with their dossiers. */
  async prune(conversation: Conversation, message: string): Promise<Conversation> {
    const { conversation: left, removed } = remove(conversation, message);
    await this.vault.delete(removed.map((id) => DOSSIER + id));
    await this.save(left);
    return left;
  }

  /** The dossier of an answer, as text. */
  dossier(message: string): Promise<string | undefined> {
    return this.vault.get(DOSSIER + message);
  }

  /** Keeps the dossier of an answer. */
  keepDossier(message: string, text: string): Promise<void> {
    return this.vault.put(DOSSIER + message, text);
  }

  /** What was typed and not sent. */
  async draft(id: string): Promise<string> {
    return (await this.vault.get(DRAFT + id)) ?? "";
  }

  /** Keeps what is typed; an empty text deletes it. */
  keepDraft(id: string, text: string): Promise<void> {
    return text === "" ? this.vault.delete([DRAFT + id]) : this.vault.put(DRAFT + id, text);
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

  /** Takes a file's conversations in; one that is here already is replaced. Returns how many. */
  async take(bundle: Bundle): Promise<number> {
    for (const conversation of bundle.conversations) {
      for (const id of Object.keys(conversation.messages)) {
        const text = bundle.dossiers[id];
        if (text !== undefined) await this.keepDossier(id, text);
      }
      await this.save(conversation);
    }
    return bundle.conversations.length;
  }
}
