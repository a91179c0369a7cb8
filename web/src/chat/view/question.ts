// One question on the page, and the place where it is edited into a new branch.
import type { Message, Place } from "../tree.ts";
import { branchSwitch } from "./parts.ts";
import { button, h, on, redraw, setText } from "./dom.ts";

/** What a question's controls do. */
export interface QuestionActions {
  edit(id: string, text: string): void;
  drop(id: string): void;
  turn(id: string, step: number): void;
}

/** The view of one question. */
export class QuestionView {
  readonly element: HTMLElement;
  private readonly text = h("div", { class: "c-asked", "data-quoted": "" });
  private readonly way = h("span", { class: "c-meta" });
  private readonly tools = h("div", { class: "c-tools" });
  private readonly actions: QuestionActions;
  private message: Message;
  private drawn = "";

  constructor(message: Message, actions: QuestionActions) {
    this.message = message;
    this.actions = actions;
    this.element = h(
      "article",
      { class: "c-turn c-question", id: `m-${message.id}`, tabindex: "-1", "aria-label": "Your message" },
      h("header", { class: "c-who" }, h("span", { class: "c-name" }, "You"), " ", this.way),
      this.text,
      this.tools,
    );
  }

  /** Draws the question and where it stands among its branches. */
  update(message: Message, place: Place): void {
    this.message = message;
    if (this.element.hasAttribute("data-editing")) return;
    setText(this.text, message.text);
    setText(this.way, message.path === "sealed" ? "asked sealed, through a relay" : "");
    const key = `${place.index}/${place.of}`;
    if (key === this.drawn) return;
    this.drawn = key;
    redraw(
      this.tools,
      button("Edit", () => this.edit(), { "data-edit": "" }),
      button("Delete", () => this.actions.drop(message.id)),
      ...(place.of > 1 ? [branchSwitch(place, (step) => this.actions.turn(message.id, step), "message")] : []),
    );
  }

  /** Opens the editor; what is sent from it becomes a branch beside this question. */
  edit(): void {
    if (this.element.hasAttribute("data-editing")) return;
    this.element.setAttribute("data-editing", "");
    const area = h("textarea", {
      class: "c-area",
      "aria-label": "Edit your message; it becomes a new branch",
      rows: String(Math.min(12, this.message.text.split("\n").length + 1)),
    });
    area.value = this.message.text;
    const close = (): void => {
      this.element.removeAttribute("data-editing");
      editor.replaceWith(this.text);
      this.tools.hidden = false;
      this.tools.querySelector<HTMLElement>("[data-edit]")?.focus();
    };
    const send = (): void => {
      const text = area.value.trim();
      close();
      if (text !== "") this.actions.edit(this.message.id, text);
    };
    const editor = h(
      "div",
      { class: "c-editor" },
      area,
      h(
        "div",
        { class: "c-compose-row" },
        button("Cancel", close),
        button("Send as a new branch", send, { class: "c-button c-main" }),
      ),
    );
    on(editor, {
      keydown: (event) => {
        if (event.isComposing) return;
        if (event.key === "Escape") (event.stopPropagation(), close());
        if (event.key === "Enter" && !event.shiftKey && event.target === area) (event.preventDefault(), send());
      },
    });
    this.text.replaceWith(editor);
    this.tools.hidden = true;
    area.focus();
  }
}
