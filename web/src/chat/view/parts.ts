// Small parts that several views use.
import type { Break } from "../changes.ts";
import type { Place, Trouble } from "../tree.ts";
import { button, copyText, h, setText } from "./dom.ts";

/** "‹ 2 of 3 ›" */
export function branchSwitch(place: Place, turn: (step: number) => void, what: string): HTMLElement {
  const arrow = (sign: string, step: number, words: string): HTMLButtonElement =>
    button(sign, () => turn(step), {
      class: "c-button c-arrow",
      "aria-label": `${words} ${what}`,
      disabled: place.index + step < 0 || place.index + step >= place.of,
    });
  return h(
    "span",
    { class: "c-branch", role: "group", "aria-label": `Versions of this ${what}` },
    arrow("\u2039", -1, "Previous version of this"),
    h("span", {}, `${place.index + 1} of ${place.of}`),
    arrow("\u203a", 1, "Next version of this"),
  );
}

/** An error: reason, sentence, what to do, and everything else to copy. */
export function troubleBox(trouble: Trouble): HTMLElement {
  // An answer with trouble is in HOLD, and what is carried out of it says so.
  const copy = button(
    "Copy details (HOLD)",
    () => void copyText(trouble.detail).then((done) => setText(copy, done ? "Copied (HOLD)" : "Not copied (HOLD)")),
  );
  return h(
    "div",
    { class: trouble.reason === "held" ? "c-trouble c-trouble-held" : "c-trouble", role: "alert" },
    h("p", {}, h("code", {}, trouble.reason), " ", trouble.message),
    trouble.hint === "" ? null : h("p", {}, trouble.hint),
    h("details", {}, h("summary", {}, "Details"), h("pre", { tabindex: "0", "data-quoted": "" }, trouble.detail)),
    copy,
  );
}

/** The line across a conversation where something about who answers changed. */
export function breakLine(found: Break): HTMLElement {
  return h(
    "div",
    { class: found.heavy ? "c-break c-break-heavy" : "c-break", role: "note" },
    h("span", {}, found.text),
  );
}
