// Asking, stopping, branching: what a person does with a conversation.
import type { App } from "./app.ts";
import { stopAnswer } from "./api.ts";
import { dossierText } from "./dossier.ts";
import type { Way } from "../privacy/client.ts";
import { hexOf, requestText } from "./request.ts";
import { run, troubleFrom } from "./runs.ts";
import { add, change, lineage, placeOf, turn, wasSealed, type AnswerState, type Conversation, type Message, type Path } from "./tree.ts";
import { wordOf } from "../marks/draw.ts";
import { confirmThat } from "./view/dialogs.ts";

/** An answer under way: how to stop it, its message, and the text that came so far. */
interface Running {
  readonly control: AbortController;
  readonly message: string;
  readonly nonce: string;
  readonly path: Path;
  text: string;
  /** When a stop was asked for (unix ms), 0 before. */
  stoppedAt: number;
}

/** How long a stopped answer may take to end with its receipt; and one that could not be stopped, which may have ended by itself (ms). */
const STOP_MS = 5_000;
const RACE_MS = 1_000;

/** See the head of this file. */
export class Conversing {
  private readonly app: App;
  private readonly running = new Map<string, Running>();
  /** Sealed questions whose node is being looked for: nothing of them has left yet. */
  private readonly preparing = new Map<string, AbortController>();
  private spokenProof = "";

  constructor(app: App) {
    this.app = app;
  }

  /** Whether an answer is under way in a conversation. */
  busy(conversation: string): boolean {
    return this.running.has(conversation) || this.preparing.has(conversation);
  }

  /** Whether this answer is under way. */
  isRunning(message: string): boolean {
    return [...this.running.values()].some((one) => one.message === message);
  }

  /** Sends a question after the last message of the shown path. A sealed one only once there is a node that it can be sealed to. */
  async send(text: string): Promise<void> {
    const path: Path = this.app.current.path ?? "plain";
    const way = path === "sealed" ? await this.prepared(text) : undefined;
    if (path === "sealed" && way === undefined) return;
    const { current } = this.app;
    await this.app.sent();
    const { conversation, id } = addQuestion(current, shownEnd(current), text, path);
    await this.answer(conversation, id, { path, way });
  }

  /** A checked way for a sealed question. Without one the question goes back to where it was written, and the page says why. */
  private async prepared(text: string): Promise<Way | undefined> {
    const { id, model, mode } = this.app.current;
    const control = new AbortController();
    this.preparing.set(id, control);
    this.app.draw();
    let why = "";
    let way: Way | undefined;
    try {
      way = await this.app.paths.sealing.prepare(model, mode, control.signal);
    } catch (error) {
      if (!control.signal.aborted) why = told(error);
    }
    this.preparing.delete(id);
    // Who went to another conversation meanwhile finds the question in the old one, as a draft.
    if (this.app.current.id !== id) return undefined;
    // A path that was changed meanwhile is not the one that the question was sent on.
    if (way !== undefined && this.app.current.path === "sealed") return way;
    if (this.app.composer.text === "") this.app.composer.set(text);
    if (why !== "") this.app.tell(why);
    this.app.draw();
    return undefined;
  }

  /** Sends an edited question as a branch beside the old one. */
  async edit(id: string, text: string): Promise<void> {
    const { current } = this.app;
    if (this.busy(current.id)) return;
    const path = pathFor(current, id);
    const branch = addQuestion(current, current.messages[id]?.parent ?? "", text, path);
    await this.answer(branch.conversation, branch.id, { path, moved: true });
  }

  /** Asks again for an answer, as a branch beside the old one. */
  async regenerate(id: string): Promise<void> {
    const parent = this.app.current.messages[id]?.parent;
    if (parent === undefined || this.busy(this.app.current.id)) return;
    await this.answer(this.app.current, parent, { path: pathFor(this.app.current, parent), moved: true });
  }

  /** Follows a receipt again. */
  check(id: string): void {
    const answer = this.app.current.messages[id]?.answer;
    if (answer) void this.app.answers.follow(id, answer);
  }

  /** Shows the branch `step` places on. */
  turn(id: string, step: number): void {
    const turned = turn(this.app.current, id, step);
    void this.app.keep(turned).then(() => this.app.reopenAnswers());
    const { siblings, index } = placeOf(turned, id);
    const shown = siblings[Math.min(Math.max(index + step, 0), siblings.length - 1)];
    if (shown !== undefined) this.app.thread.focus(shown, step);
  }

  /** Deletes a message and what follows from it. */
  async drop(id: string): Promise<void> {
    if (this.busy(this.app.current.id)) return;
    const text =
      "It is deleted with everything that follows from it, because later requests repeat its text. The salts go with it: what the log keeps says nothing without them.";
    if (!(await confirmThat("Delete this message?", text, "Delete"))) return;
    this.app.answers.forget(id);
    this.app.shown(await this.app.library.prune(this.app.current, id));
    await this.app.reopenAnswers();
  }

  /** Stops the answer of a conversation, the open one unless named: the node stops, and its receipt covers what came. */
  stop(conversation = this.app.current.id): void {
    this.preparing.get(conversation)?.abort();
    const under = this.running.get(conversation);
    if (under === undefined) return;
    const now = Date.now();
    // Nothing has come, or a second stop, which is no double click: the connection is closed, and that stops the node as well.
    if (under.text === "" || (under.stoppedAt > 0 && now - under.stoppedAt > RACE_MS)) return under.control.abort();
    if (under.stoppedAt > 0) return;
    under.stoppedAt = now;
    const giveUp = (): void => under.control.abort();
    const asked = under.path === "sealed" ? this.app.paths.sealing.stop(under.nonce) : stopAnswer(under.nonce);
    void asked.then((done) => setTimeout(giveUp, done ? STOP_MS : RACE_MS));
  }

  /** Closes the connection of an answer that nobody wants any more. */
  abandon(conversation: string): void {
    this.preparing.get(conversation)?.abort();
    this.running.get(conversation)?.control.abort();
  }

  /** Tells a screen reader once when an answer's `proved` mark changes. */
  spoken(id: string): void {
    const proved = this.app.answers.live(id).judged.marks.proved;
    const key = `${id}:${proved.state}`;
    if (proved.state === "absent" || key === this.spokenProof) return;
    this.spokenProof = key;
    this.app.speaker.say(`Mark proved: ${wordOf("proved", proved.state)}.`);
  }

  /** Notes when this page first verified an answer's proof. */
  async proved(id: string, at: number): Promise<void> {
    const { current } = this.app;
    const answer = current.messages[id]?.answer;
    if (answer) await this.app.keep(change(current, id, { answer: { ...answer, provedAt: at } }));
  }

  /** A conversation as it stands while its answer is under way, for a person who comes back to it. */
  resumed(conversation: Conversation): Conversation {
    const under = this.running.get(conversation.id);
    const answer = under === undefined ? undefined : conversation.messages[under.message]?.answer;
    if (under === undefined || answer == null) return conversation;
    const outcome = under.text === "" ? "asking" : "streaming";
    return change(conversation, under.message, { answer: { ...answer, outcome } });
  }

  /** Shows what came of an answer under way while another conversation was open. */
  catchUp(): void {
    const under = this.running.get(this.app.current.id);
    if (under !== undefined && under.text !== "") this.app.thread.feed(under.message, under.text);
  }

  /** `moved`: asked from within the conversation, by a control that leaves the page; the focus goes to the answer. */
  private async answer(before: Conversation, parent: string, { path, way, moved = false }: Manner): Promise<void> {
    if (before.model === "" || this.busy(before.id)) return;
    const id = crypto.randomUUID();
    const state = freshState(before, this.app.assertedBy(before.model), path);
    const text = requestText(before, lineage(before, parent), path);
    const sealed = path === "sealed" ? this.app.paths.sealing.asking(before.model, way) : undefined;
    const control = new AbortController();
    const under: Running = { control, message: id, nonce: state.nonce, path, text: "", stoppedAt: 0 };
    this.running.set(before.id, under);
    const asked = add(before, { id, parent, role: "assistant", text: "", at: Date.now(), answer: state });
    this.app.current = asked;
    this.app.draw();
    this.app.scrolling.toEnd();
    if (moved) this.app.thread.focus(id);
    const onText = (more: string): void => this.feed(before.id, id, more);
    const ended = await this.app.windows.asking(id, async () => {
      await this.app.begun(asked, change(asked, id, { answer: { ...state, outcome: "stopped" } }));
      return run({ text, state, mode: before.mode, signal: control.signal, stopped: () => under.stoppedAt > 0, onText, sealed });
    });
    this.running.delete(before.id);
    // The conversation may have been changed, or deleted, while the answer came.
    const now = this.app.current.id === before.id ? this.app.current : this.app.library.get(before.id);
    if (now?.messages[id] === undefined) return;
    this.app.scrolling.mark();
    const dossiers = ended.dossier === undefined ? {} : { [id]: dossierText(ended.dossier) };
    if (ended.dossier !== undefined) this.app.answers.expect(id);
    const kept = await this.app.keep(change(now, id, { text: ended.text, answer: ended.state }), dossiers);
    if (!kept) return;
    this.app.scrolling.stay();
    this.app.speaker.finish();
    const handedIn = path === "sealed" && ended.dossier !== undefined ? this.app.paths.sealing.submit(dossierText(ended.dossier)) : undefined;
    if (ended.dossier !== undefined) await this.app.answers.arrived(id, ended.state, ended.dossier, handedIn);
    else if (ended.state.receipt !== "") void this.app.answers.follow(id, ended.state);
  }

  private feed(conversation: string, id: string, more: string): void {
    const under = this.running.get(conversation);
    if (under !== undefined) under.text += more;
    const { current } = this.app;
    const message: Message | undefined = current.messages[id];
    if (current.id !== conversation || message?.answer == null) return;
    this.app.scrolling.mark();
    if (message.answer.outcome === "asking") {
      this.app.current = change(current, id, { answer: { ...message.answer, outcome: "streaming" } });
      this.app.draw();
    }
    this.app.thread.feed(id, more);
    this.app.speaker.feed(more);
    this.app.scrolling.stay();
  }
}

/** How a question is asked. `way` is there where it is sealed and its node was checked before. */
interface Manner {
  readonly path: Path;
  readonly way?: Way | undefined;
  readonly moved?: boolean;
}

/** The path on which a question is asked again, as it is or edited: one that went sealed never goes another. */
function pathFor(conversation: Conversation, id: string): Path {
  const question = conversation.messages[id];
  return conversation.path === "sealed" || (question !== undefined && wasSealed(question)) ? "sealed" : "plain";
}

/** Why a sealed question did not leave. */
function told(error: unknown): string {
  const { reason, message, hint } = troubleFrom(error);
  return `Not sent (${reason}). ${message} ${hint}`.trim();
}

function freshState({ model, policy }: Conversation, asserted: string, path: Path): AnswerState {
  return {
    ...(path === "sealed" ? { path } : {}),
    outcome: "asking",
    model,
    asserted,
    policy,
    nonce: hexOf(crypto.getRandomValues(new Uint8Array(32))),
    receipt: "",
    arrivedAt: 0,
    provedAt: 0,
    facts: null,
    trouble: null,
  };
}

function shownEnd(conversation: Conversation): string {
  let end = "";
  for (let next = conversation.roots[conversation.chosen]; next !== undefined;) {
    end = next;
    const message = conversation.messages[next];
    next = message?.children[message.chosen];
  }
  return end;
}

function addQuestion(
  conversation: Conversation,
  parent: string,
  text: string,
  path: Path,
): { conversation: Conversation; id: string } {
  const id = crypto.randomUUID();
  const question = { id, parent, role: "user", text, at: Date.now(), answer: null } as const;
  return { conversation: add(conversation, path === "sealed" ? { ...question, path } : question), id };
}
