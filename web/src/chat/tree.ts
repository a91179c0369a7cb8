// A conversation as a tree: editing and regenerating branch, nothing is overwritten. Pure: every change is a new value.

/** Which way a question takes: read by the gateway, or sealed to the enclave and passed on by a relay. */
export type Path = "plain" | "sealed";

/** Facts of an answer that later answers are compared by; from the signed receipt and its documents. */
export interface AnswerFacts {
  readonly label: string;
  readonly artifact: string;
  readonly provider: string;
  readonly node: string;
  readonly path: string;
  readonly mode: string;
}

/** How an answer ended, for the page; what it is worth is said by its marks alone. */
export type Outcome = "asking" | "streaming" | "complete" | "stopped" | "failed" | "held";

/** An error as shown: stable reason, sentence, what to do, and everything else as text to copy. */
export interface Trouble {
  readonly reason: string;
  readonly message: string;
  readonly hint: string;
  readonly detail: string;
}

/**
 * What is kept of an answer beside its text. `asserted` names who merely asserts the model, as the list of models had it
 * when it was asked. `arrivedAt` and `provedAt` are this page's clock (unix ms, 0: not seen here):
 * when the last byte came, and when the quorum's proof was verified. The dossier is stored apart,
 * under the message's id. `path` is there where it was asked for sealed: its proofs are then never asked for plainly.
 */
export interface AnswerState {
  readonly outcome: Outcome;
  readonly model: string;
  readonly asserted: string;
  readonly policy: string;
  readonly nonce: string;
  readonly receipt: string;
  readonly arrivedAt: number;
  readonly provedAt: number;
  readonly facts: AnswerFacts | null;
  readonly trouble: Trouble | null;
  readonly path?: "sealed";
}

/** One message. `chosen` is the child that the shown path follows; `path` is there on a question that was asked sealed. */
export interface Message {
  readonly id: string;
  readonly parent: string;
  readonly role: "user" | "assistant";
  readonly text: string;
  readonly at: number;
  readonly children: readonly string[];
  readonly chosen: number;
  readonly answer: AnswerState | null;
  readonly path?: "sealed";
}

/** One conversation. `path` is there while its next question takes the sealed path. The empty id "" stands for the root above the first messages. */
export interface Conversation {
  readonly id: string;
  readonly title: string;
  readonly named: boolean;
  readonly created: number;
  readonly updated: number;
  readonly model: string;
  readonly mode: string;
  readonly policy: string;
  readonly system: string;
  readonly temperature: number;
  readonly maxTokens: number;
  readonly roots: readonly string[];
  readonly chosen: number;
  readonly messages: Readonly<Record<string, Message>>;
  readonly path?: "sealed";
}

/** A value whose path is this one. */
export function onPath<T extends { readonly path?: "sealed" }>(value: T, path: Path): T {
  const { path: _, ...rest } = value;
  return (path === "sealed" ? { ...rest, path } : rest) as T;
}

/** Whether a message, question or answer, went the sealed way: then it is never sent another. */
export function wasSealed({ path, answer }: Message): boolean {
  return path === "sealed" || answer?.path === "sealed";
}

/** Where a message stands among those that share its parent. */
export interface Place {
  readonly index: number;
  readonly of: number;
  readonly siblings: readonly string[];
}

const TITLE = 60;

/** An empty conversation. */
export function emptyConversation(id: string, at: number, model: string, policy: string): Conversation {
  return {
    id,
    title: "New conversation",
    named: false,
    created: at,
    updated: at,
    model,
    mode: "",
    policy,
    system: "",
    temperature: 0,
    maxTokens: 0,
    roots: [],
    chosen: 0,
    messages: {},
  };
}

/** The messages on the shown path, first to last. */
export function pathOf(conversation: Conversation): Message[] {
  const found: Message[] = [];
  let next = conversation.roots[conversation.chosen];
  while (next !== undefined) {
    const message = conversation.messages[next];
    if (message === undefined) break;
    found.push(message);
    next = message.children[message.chosen];
  }
  return found;
}

/** The messages from the first down to `id`, whatever path is shown. */
export function lineage(conversation: Conversation, id: string): Message[] {
  const found: Message[] = [];
  for (
    let message = conversation.messages[id];
    message !== undefined;
    message = conversation.messages[message.parent]
  ) {
    found.unshift(message);
  }
  return found;
}

/** Adds a message under `parent` ("" for a first one), as the newest branch, which the shown path then follows. */
export function add(conversation: Conversation, message: Omit<Message, "children" | "chosen">): Conversation {
  const fresh: Message = { ...message, children: [], chosen: 0 };
  const updated = { ...conversation, updated: message.at, messages: { ...conversation.messages, [message.id]: fresh } };
  const titled =
    conversation.named || message.role !== "user" || message.parent !== ""
      ? updated
      : { ...updated, title: titleOf(message.text) };
  return withChildren(titled, message.parent, (children) => ({
    children: [...children, message.id],
    chosen: children.length,
  }));
}

/** Replaces members of a message. Its place does not change. */
export function change(
  conversation: Conversation,
  id: string,
  members: Partial<Pick<Message, "text" | "answer">>,
): Conversation {
  const message = conversation.messages[id];
  if (message === undefined) return conversation;
  return { ...conversation, messages: { ...conversation.messages, [id]: { ...message, ...members } } };
}

/** Where a message stands among its branches. */
export function placeOf(conversation: Conversation, id: string): Place {
  const parent = conversation.messages[id]?.parent ?? "";
  const siblings = parent === "" ? conversation.roots : (conversation.messages[parent]?.children ?? []);
  return { index: siblings.indexOf(id), of: siblings.length, siblings };
}

/** Lets the shown path follow the branch `step` places on; stays at the ends. */
export function turn(conversation: Conversation, id: string, step: number): Conversation {
  const { index, of } = placeOf(conversation, id);
  const chosen = Math.min(Math.max(index + step, 0), of - 1);
  return withChildren(conversation, conversation.messages[id]?.parent ?? "", (children) => ({ children, chosen }));
}

/** Removes a message and everything below it, because later requests repeat its text. Returns the removed ids too. */
export function remove(conversation: Conversation, id: string): { conversation: Conversation; removed: string[] } {
  const removed = below(conversation, id);
  if (removed.length === 0) return { conversation, removed };
  const parent = conversation.messages[id]?.parent ?? "";
  const messages = Object.fromEntries(Object.entries(conversation.messages).filter(([key]) => !removed.includes(key)));
  const without = withChildren({ ...conversation, messages }, parent, (children, chosen) => {
    const left = children.filter((child) => child !== id);
    const gone = children.indexOf(id);
    return { children: left, chosen: Math.max(0, Math.min(gone < chosen ? chosen - 1 : chosen, left.length - 1)) };
  });
  return { conversation: without, removed };
}

/** A title from the first line of the first question. */
export function titleOf(text: string): string {
  const line = text.trim().split("\n", 1)[0]?.replace(/\s+/g, " ").trim() ?? "";
  const marks = [...line];
  return marks.length === 0
    ? "New conversation"
    : marks.length <= TITLE
      ? line
      : `${marks
          .slice(0, TITLE - 1)
          .join("")
          .trimEnd()}\u2026`;
}

function below(conversation: Conversation, id: string): string[] {
  const message = conversation.messages[id];
  return message === undefined ? [] : [id, ...message.children.flatMap((child) => below(conversation, child))];
}

type Branches = { readonly children: readonly string[]; readonly chosen: number };

function withChildren(
  conversation: Conversation,
  parent: string,
  edit: (children: readonly string[], chosen: number) => Branches,
): Conversation {
  if (parent === "") {
    const { children, chosen } = edit(conversation.roots, conversation.chosen);
    return { ...conversation, roots: children, chosen };
  }
  const message = conversation.messages[parent];
  if (message === undefined) return conversation;
  const edited = { ...message, ...edit(message.children, message.chosen) };
  return { ...conversation, messages: { ...conversation.messages, [parent]: edited } };
}
