// The shown path of a conversation, with the lines where something about who answers changed.
import type { Answers } from "../answers.ts";
import { breakBetween } from "../changes.ts";
import { pathOf, placeOf, type AnswerFacts, type Conversation, type Message } from "../tree.ts";
import type { Windows } from "../windows.ts";
import { AnswerView, relabelCopies, type AnswerActions } from "./answer.ts";
import { QuestionView, type QuestionActions } from "./question.ts";
import { breakLine } from "./parts.ts";
import { h } from "./dom.ts";

/** The thread. Views of messages are kept as long as the conversation is open. */
export class Thread {
  readonly element = h("div", { class: "c-thread", role: "log", "aria-live": "off", "aria-label": "Conversation" });
  private readonly actions: AnswerActions & QuestionActions;
  private readonly answers: Answers;
  private readonly questionViews = new Map<string, QuestionView>();
  private readonly answerViews = new Map<string, AnswerView>();
  private readonly windows: Pick<Windows, "elsewhere">;
  private conversation: Conversation | undefined;

  constructor(actions: AnswerActions & QuestionActions, answers: Answers, windows: Pick<Windows, "elsewhere">) {
    this.actions = actions;
    this.windows = windows;
    this.answers = answers;
  }

  /** Draws a conversation's shown path. */
  show(conversation: Conversation): void {
    if (this.conversation?.id !== conversation.id) this.clear();
    this.conversation = conversation;
    const wanted: HTMLElement[] = [];
    let before: AnswerFacts | null = null;
    for (const message of pathOf(conversation)) {
      const facts = message.answer?.facts ?? null;
      const found = before !== null && facts !== null ? breakBetween(before, facts) : undefined;
      if (found !== undefined) wanted.push(breakLine(found));
      before = facts ?? before;
      wanted.push(this.draw(conversation, message));
    }
    if (wanted.length === 0) wanted.push(emptyPage());
    this.place(wanted);
  }

  /** Draws one answer again, after its marks changed. */
  refresh(id: string): void {
    const message = this.conversation?.messages[id];
    if (this.conversation !== undefined && message !== undefined && this.answerViews.has(id))
      this.draw(this.conversation, message);
  }

  /** Text that came for an answer. */
  feed(id: string, text: string): void {
    this.answerViews.get(id)?.feed(text);
  }

  /** Moves the focus to a message, or to its branch switch's arrow for `step`: where it was has left the page. */
  focus(id: string, step = 0): void {
    const view = this.answerViews.get(id) ?? this.questionViews.get(id);
    const arrows = [...(view?.element.querySelectorAll<HTMLButtonElement>(".c-branch button") ?? [])];
    const wanted = step === 0 ? undefined : arrows[step < 0 ? 0 : 1];
    const arrow = wanted?.disabled === false ? wanted : step === 0 ? undefined : arrows.find((one) => !one.disabled);
    (arrow ?? view?.element)?.focus({ preventScroll: true });
  }

  /** The view of the last question on the path. */
  lastQuestion(): QuestionView | undefined {
    const last =
      this.conversation === undefined
        ? undefined
        : pathOf(this.conversation).findLast((message) => message.role === "user");
    return last === undefined ? undefined : this.questionViews.get(last.id);
  }

  /** Forgets every view. */
  clear(): void {
    this.questionViews.clear();
    this.answerViews.clear();
    this.element.replaceChildren();
    this.conversation = undefined;
  }

  private draw(conversation: Conversation, message: Message): HTMLElement {
    const place = placeOf(conversation, message.id);
    if (message.role === "user") {
      const view = this.questionViews.get(message.id) ?? new QuestionView(message, this.actions);
      this.questionViews.set(message.id, view);
      view.update(message, place);
      return view.element;
    }
    const view = this.answerViews.get(message.id) ?? new AnswerView(message.id, this.actions);
    this.answerViews.set(message.id, view);
    const hold = this.answers.inHold(message.id);
    const policy = this.answers.policyOf(message.answer);
    const elsewhere = this.windows.elsewhere.has(message.id);
    const live = this.answers.live(message.id);
    view.update({ message, place, hold, policy, live, trust: this.answers.trust, elsewhere });
    relabelCopies(view.element, hold);
    return view.element;
  }

  /** Puts elements in order without touching those that stand right, so that focus and selection stay. */
  private place(wanted: readonly HTMLElement[]): void {
    const keep = new Set<Element>(wanted);
    for (const child of [...this.element.children]) if (!keep.has(child)) child.remove();
    wanted.forEach((element, at) => {
      const standing = this.element.children[at];
      if (standing !== element) this.element.insertBefore(element, standing ?? null);
    });
  }
}

function emptyPage(): HTMLElement {
  return h(
    "div",
    { class: "c-empty" },
    h(
      "p",
      {},
      "Nothing is asked yet. Under each answer stand seven marks, each for one fact, drawn by this page from the bytes that came.",
    ),
    h(
      "p",
      {},
      "A mark with a thin line is what the node alone says; a double line is what this page computed again; a filled one is what full nodes checked.",
    ),
  );
}
