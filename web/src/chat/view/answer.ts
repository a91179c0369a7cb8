// One answer on the page: text, trouble, the row of seven marks, what stands about the whole, and its controls.
import { absentMarks, renderMarks, updateMarks } from "../../marks/draw.ts";
import { timedMarks, type Live } from "../answers.ts";
import { sentenceOf } from "../gate.ts";
import { dossierText } from "../dossier.ts";
import type { Message, Place } from "../tree.ts";
import { waiverOf } from "../trust.ts";
import { detailsOf } from "./details.ts";
import { button, clockOf, copyText, h, redraw, saveFile, setText } from "./dom.ts";
import { Said } from "./said.ts";
import { branchSwitch, troubleBox } from "./parts.ts";

/** What an answer's controls do. */
export interface AnswerActions {
  regenerate(id: string): void;
  drop(id: string): void;
  turn(id: string, step: number): void;
  check(id: string): void;
}

/** What an answer is drawn from. */
export interface AnswerFacts {
  readonly message: Message;
  readonly live: Live;
  readonly place: Place;
  readonly trust: string;
  readonly hold: boolean;
  readonly policy: string;
  /** Another window is waiting for this answer. */
  readonly elsewhere: boolean;
}

/** The view of one answer. */
export class AnswerView {
  readonly element: HTMLElement;
  private readonly said: Said;
  private readonly name = h("span", { class: "c-name" });
  private readonly meta = h("span", { class: "c-meta" });
  private readonly state = h("p", { class: "c-state" });
  private readonly trouble = h("div");
  private readonly row = renderMarks(absentMarks(), { answerAt: 0 });
  private readonly whole = h("p", { class: "c-whole" });
  private readonly tools = h("div", { class: "c-tools" });
  private readonly details = h("div", { class: "c-details", hidden: true });
  private readonly actions: AnswerActions;
  private facts: AnswerFacts | undefined;
  private shown: string | undefined;
  private revealed = false;
  private drawnTools = "";

  constructor(id: string, actions: AnswerActions) {
    this.actions = actions;
    this.said = new Said((code) => this.copyControl("Copy code", () => code));
    this.element = h(
      "article",
      { class: "c-turn c-answer", id: `m-${id}`, tabindex: "-1" },
      h("header", { class: "c-who" }, this.name, " ", this.meta),
      this.said.element,
      this.state,
      this.trouble,
      h("div", { class: "c-proof" }, this.row, this.whole, legendLink()),
      this.tools,
      this.details,
    );
  }

  /** Text that came, while the answer is being made. */
  feed(text: string): void {
    this.shown = undefined;
    this.said.feed(text);
  }

  /** Draws what is known now. */
  update(facts: AnswerFacts): void {
    this.facts = facts;
    const { message, live } = facts;
    const answer = message.answer;
    const asserted =
      live.judged.marks.model.detail["asserted_by"] ||
      answer?.facts?.provider ||
      (answer?.facts ? "" : answer?.asserted) ||
      "";
    setText(this.name, asserted === "" ? (answer?.model ?? "") : `${answer?.model ?? ""}, asserted by ${asserted}`);
    setText(this.meta, message.at === 0 ? "" : clockOf(message.at));
    if (answer !== null && answer.receipt !== "") this.element.setAttribute("data-receipt", answer.receipt);
    this.element.setAttribute("aria-label", `Answer by ${this.name.textContent}`);
    this.showText(message, facts);
    setText(this.state, stateOf(facts, this.withheld(facts)));
    this.trouble.replaceChildren(...(answer?.trouble ? [troubleBox(answer.trouble)] : []));
    const policy = waiverOf(facts.trust, facts.policy);
    const { marks, answerAt } = timedMarks(live, answer);
    updateMarks(this.row, marks, { answerAt, policy: live.dossier === undefined ? undefined : policy });
    this.showWhole(facts);
    this.drawTools(facts);
    if (!this.details.hidden) this.details.replaceChildren(detailsOf(facts));
  }

  private withheld(facts: AnswerFacts): boolean {
    const answer = facts.message.answer;
    return answer !== null && answer.policy !== "" && facts.hold && !this.revealed;
  }

  private showText(message: Message, facts: AnswerFacts): void {
    const outcome = message.answer?.outcome;
    if (outcome === "asking" || outcome === "streaming") return;
    const text = this.withheld(facts) ? "" : message.text;
    if (text === this.shown) return;
    this.shown = text;
    if (text === "") this.said.show("");
    else this.said.finish(text);
  }

  private showWhole(facts: AnswerFacts): void {
    const { live, hold, message } = facts;
    this.element.toggleAttribute("data-hold", hold);
    const { decision, problem } = live.judged;
    const told =
      decision !== null
        ? sentenceOf(decision, clockOf(live.judgedAt), live.judged.marks.ran.assurance)
        : wordsWithout(message, facts.elsewhere, problem);
    const waits = live.following && hold ? " Waiting for the network's proof." : "";
    const stuck =
      !live.following && hold && live.dossier !== undefined
        ? isProved(live)
          ? " The network's proof is here; nothing more is awaited."
          : " Not asking any more."
        : "";
    const note = hold && live.note !== "" ? ` ${live.note}` : "";
    setText(this.whole, `${told}${waits}${stuck}${note}`);
  }

  private drawTools(facts: AnswerFacts): void {
    const { message, live, hold, place } = facts;
    const outcome = message.answer?.outcome ?? "stopped";
    const withheld = this.withheld(facts);
    const key = [
      outcome,
      facts.elsewhere,
      hold,
      withheld,
      place.index,
      place.of,
      live.dossier === undefined,
      live.following,
      message.text === "",
      message.answer?.receipt,
    ].join();
    if (key === this.drawnTools) return;
    this.drawnTools = key;
    redraw(this.tools, ...this.toolsOf(facts, withheld));
  }

  private toolsOf({ message, live, hold, place, elsewhere }: AnswerFacts, withheld: boolean): HTMLElement[] {
    const outcome = message.answer?.outcome;
    if (outcome === "asking" || outcome === "streaming" || elsewhere) return [];
    const suffix = hold ? " (HOLD)" : "";
    const tools: HTMLElement[] = [];
    if (message.text !== "" && !withheld) tools.push(this.copyControl("Copy", () => this.facts?.message.text ?? ""));
    if (withheld && message.text !== "") tools.push(button("Show the draft (HOLD)", () => this.reveal()));
    if (live.dossier !== undefined) {
      tools.push(button(`Save receipt${suffix}`, () => this.save()));
      tools.push(
        button("Details", () => this.toggleDetails(), { "aria-expanded": this.details.hidden ? "false" : "true" }),
      );
    }
    const receipt = message.answer?.receipt ?? "";
    if (receipt !== "") {
      const plainly = message.answer?.path === "sealed" ? ", asked for plainly" : "";
      tools.push(h("a", { class: "c-way", href: `/review/by-receipt/${receipt}` }, `Its review item${plainly}${suffix}`));
    }
    if (hold && live.dossier !== undefined && !live.following && !isProved(live))
      tools.push(button("Ask for the proof again", () => this.actions.check(message.id)));
    tools.push(button("Regenerate", () => this.actions.regenerate(message.id)));
    tools.push(button("Delete", () => this.actions.drop(message.id)));
    if (place.of > 1) tools.push(branchSwitch(place, (step) => this.actions.turn(message.id, step), "answer"));
    return tools;
  }

  private copyControl(name: string, text: () => string): HTMLButtonElement {
    const label = `${name}${this.facts?.hold === false ? "" : " (HOLD)"}`;
    const control = button(
      label,
      () =>
        void copyText(text()).then((done) => {
          const back = control.textContent ?? label;
          setText(control, done ? `Copied${this.facts?.hold === false ? "" : " (HOLD)"}` : "Not copied");
          setTimeout(() => setText(control, back), 1500);
        }),
      { class: "c-button c-copy", "data-copy": name },
    );
    return control;
  }

  private reveal(): void {
    this.revealed = true;
    if (this.facts) this.update(this.facts);
  }

  private save(): void {
    const dossier = this.facts?.live.dossier;
    if (dossier !== undefined)
      saveFile(`${this.facts?.message.answer?.receipt.slice(0, 14) ?? "receipt"}.hallmark.json`, dossierText(dossier));
  }

  private toggleDetails(): void {
    this.details.hidden = !this.details.hidden;
    this.tools.querySelector("[aria-expanded]")?.setAttribute("aria-expanded", this.details.hidden ? "false" : "true");
    if (!this.details.hidden && this.facts) this.details.replaceChildren(detailsOf(this.facts));
  }
}

/** The way to the legend; it opens beside the chat, so that an answer under way goes on. */
function legendLink(): HTMLElement {
  const link = h("a", { href: "/marks", target: "_blank", rel: "noopener" }, "What the marks mean");
  return h("p", { class: "c-legend" }, link);
}

/** Renames the copy controls over code blocks, which stay while an answer moves from HOLD to CLEAR. */
export function relabelCopies(element: HTMLElement, hold: boolean): void {
  for (const control of element.querySelectorAll("[data-copy]")) {
    if (!control.textContent?.startsWith("Copied"))
      setText(control, `${control.getAttribute("data-copy")}${hold ? " (HOLD)" : ""}`);
  }
}

/** Whether a quorum's proof of the receipt was verified here. */
function isProved(live: Live): boolean {
  return live.judged.marks.proved.state === "witnessed";
}

/** What stands where nothing was judged. */
function wordsWithout({ answer }: Message, elsewhere: boolean, problem: string): string {
  if (elsewhere) return "";
  if (problem !== "") return `HOLD: nothing could be verified here. ${problem}`;
  const over =
    answer !== null && (answer.outcome === "failed" || answer.outcome === "stopped") && answer.receipt === "";
  return over ? "HOLD: no receipt is here, so nothing can be verified." : "";
}

function stateOf({ message, policy, elsewhere }: AnswerFacts, withheld: boolean): string {
  if (elsewhere) return "Another window of this browser is waiting for this answer; it comes here when it is complete.";
  switch (message.answer?.outcome) {
    case "asking":
      return message.answer.policy === ""
        ? "Asking."
        : `Asking. The answer is held until ${message.answer.policy} is met.`;
    case "streaming":
      return "";
    case "stopped":
      return message.text === ""
        ? "Stopped before anything came."
        : message.answer.receipt !== ""
          ? "Stopped here, as you asked. The receipt is over exactly what stands above."
          : "Stopped here. No receipt reached this page for what stands above; the node signed one over what had left, for the log.";
    case "held":
      return "HOLD: the gateway withheld the answer. It is not on this page.";
    case "complete":
      return withheld
        ? `HOLD: the answer is here and not shown, because ${policy} is not met by what this page could verify.`
        : "";
    default:
      return "";
  }
}
