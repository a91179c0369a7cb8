// Where a question is written: Enter sends, Shift+Enter breaks the line, Esc stops.
import { button, h, on, setText } from "./dom.ts";

/** What the composer does. */
export interface ComposerActions {
  send(text: string): void;
  stop(): void;
  editLast(): void;
  typed(text: string): void;
}

/** The composer. */
export class Composer {
  readonly element: HTMLElement;
  private readonly area = h("textarea", {
    class: "c-area",
    rows: "1",
    "aria-label": "Your message",
    placeholder: "Ask something",
    "aria-describedby": "c-way-note c-keys",
  });
  private readonly go = h("button", { type: "submit", class: "c-button c-main" }, "Send");
  private readonly halt: HTMLButtonElement;
  private readonly note = h("span", { class: "c-note" });
  private readonly way = h("span", { class: "c-way-note", id: "c-way-note" });
  private readonly actions: ComposerActions;
  private busy = false;

  constructor(actions: ComposerActions) {
    this.actions = actions;
    this.halt = button("Stop", () => actions.stop(), { hidden: true, class: "c-button c-main" });
    const places = h(
      "button",
      { type: "button", class: "c-button c-places", disabled: true },
      "Attachments, images and tools come with engines that read them",
    );
    const form = h(
      "form",
      { class: "c-composer", "aria-label": "Write a message" },
      this.area,
      h("div", { class: "c-compose-row" }, places, this.note, this.way, this.halt, this.go),
      h(
        "p",
        { class: "c-keys", id: "c-keys" },
        "Enter sends, Shift+Enter breaks the line, Esc stops, Alt+Up edits your last message, ? shows every key.",
      ),
    );
    this.element = on(form, {
      submit: (event) => (event.preventDefault(), this.submit()),
      keydown: (event) => this.key(event),
    });
    on(this.area, { input: () => (this.grow(), actions.typed(this.area.value)) });
  }

  /** Puts text into the area, as a kept draft. */
  set(text: string): void {
    this.area.value = text;
    this.grow();
  }

  /** What is written now. */
  get text(): string {
    return this.area.value;
  }

  /** Moves the cursor here. */
  focus(): void {
    this.area.focus();
  }

  /** The path that what is sent now takes, in a few words. */
  path(path: string, words: string): void {
    this.way.setAttribute("data-path", path);
    setText(this.way, words);
  }

  /** Whether an answer is under way, whether what is sent now builds on an answer in HOLD, and why sending is off. */
  state(busy: boolean, hold: boolean, why: string): void {
    this.busy = busy;
    this.halt.hidden = !busy;
    this.go.hidden = busy;
    this.go.disabled = why !== "";
    setText(this.go, hold ? "Send (HOLD)" : "Send");
    this.go.title = hold ? "An answer above is in HOLD; what you send builds on it." : "";
    setText(this.note, why);
  }

  private submit(): void {
    const text = this.area.value.trim();
    if (text === "" || this.busy || this.go.disabled) return;
    this.set("");
    this.actions.send(text);
  }

  private key(event: KeyboardEvent): void {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && event.target === this.area) {
      event.preventDefault();
      this.submit();
    } else if (event.key === "ArrowUp" && event.altKey) {
      event.preventDefault();
      this.actions.editLast();
    }
  }

  private grow(): void {
    const lines = Math.min(
      12,
      this.area.value.split("\n").reduce((sum, line) => sum + 1 + Math.floor(line.length / 72), 0),
    );
    this.area.rows = Math.max(1, lines);
  }
}
