// Dialogs: help, yes or no, and passphrases. Native <dialog>: focus stays inside, Esc closes.
import { button, h, on } from "./dom.ts";

const KEYS: readonly (readonly [string, string])[] = [
  ["Enter", "send"],
  ["Shift + Enter", "break the line"],
  ["Esc", "stop the answer, close a dialog"],
  ["Alt + Up", "edit your last message"],
  ["/", "go to the message field"],
  ["?", "this list"],
];

/** Shows the keys and what the page does with what is written. */
export function showHelp(): void {
  const rows = KEYS.flatMap(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)]);
  present("Keys", h("dl", { class: "c-keylist" }, ...rows), (close) => [
    button("Close", close, { class: "c-button c-main" }),
  ]);
}

/** Asks yes or no. */
export function confirmThat(title: string, text: string, yes: string): Promise<boolean> {
  return new Promise((resolve) => {
    present(
      title,
      h("p", {}, text),
      (close) => [button("Cancel", close), button(yes, () => (resolve(true), close()), { class: "c-button c-main" })],
      () => resolve(false),
    );
  });
}

/** What a passphrase dialog asks for. */
export interface PassphraseAsk {
  readonly title: string;
  readonly text: string;
  readonly yes: string;
  readonly twice: boolean;
  readonly least: number;
}

/** Asks for a passphrase; `use` returns what is wrong with it, or "" when it worked. Resolves to whether it did. */
export function askPassphrase(ask: PassphraseAsk, use: (passphrase: string) => Promise<string>): Promise<boolean> {
  const field = (label: string): [HTMLLabelElement, HTMLInputElement] => {
    const input = h("input", {
      type: "password",
      autocomplete: ask.twice ? "new-password" : "current-password",
      class: "c-field",
    });
    return [h("label", {}, label, input), input];
  };
  const [first, input] = field("Passphrase");
  const [second, again] = field("The same once more");
  const wrong = h("p", { class: "c-wrong", role: "alert" });
  return new Promise((resolve) => {
    const submit = async (close: () => void): Promise<void> => {
      if (input.value.length < ask.least) return void (wrong.textContent = `Use at least ${ask.least} characters.`);
      if (ask.twice && input.value !== again.value) return void (wrong.textContent = "The two are not the same.");
      wrong.textContent = "Working. This takes a moment on purpose.";
      const trouble = await use(input.value);
      if (trouble === "") (resolve(true), close());
      else wrong.textContent = trouble;
    };
    present(
      ask.title,
      h("div", {}, h("p", {}, ask.text), first, ask.twice ? second : null, wrong),
      (close) => [button("Cancel", close), on(h("button", { type: "submit", class: "c-button c-main" }, ask.yes), {})],
      () => resolve(false),
      submit,
    );
  });
}

/** Shows any content with a title and controls. */
export function present(
  title: string,
  content: HTMLElement,
  controls: (close: () => void) => HTMLElement[],
  closed?: () => void,
  submit?: (close: () => void) => Promise<void>,
): void {
  const before = document.activeElement;
  const dialog = h("dialog", { class: "c-dialog", "aria-label": title });
  const close = (): void => dialog.close();
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", {}, title),
    content,
    h("div", { class: "c-compose-row" }, ...controls(close)),
  );
  on(form, { submit: (event) => (event.preventDefault(), void submit?.(close)) });
  dialog.append(form);
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed?.();
    if (before instanceof HTMLElement) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}
