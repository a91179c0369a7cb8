// How what a file holds is drawn. Every text of it stays text; what others wrote is marked as theirs.
import { h } from "../chat/view/dom.ts";
import type { Dossier } from "../verify/dossier.ts";
import { HallmarkError } from "../verify/errors.ts";
import { answerOf, messagesOf, type Compared } from "./content.ts";

/** Comparisons as a list, what differs first and loud. */
export function drawCompared(lines: readonly Compared[]): HTMLElement[] {
  const apart = lines.filter((line) => !line.same);
  const same = lines.filter((line) => line.same);
  return [
    ...(apart.length ? [h("div", { class: "notice notice-bad", role: "alert" }, ...apart.map((line) => h("p", {}, line.sentence)))] : []),
    ...(same.length ? [h("ul", { class: "small compared" }, ...same.map((line) => h("li", {}, line.sentence)))] : []),
  ];
}

/** The request and the answer of a dossier that holds them: as text to read, and behind it the exact bytes. */
export function drawContent(dossier: Dossier, suffix: string): HTMLElement[] {
  const { request, response } = dossier;
  const found: HTMLElement[] = [];
  if (request !== null) {
    const messages = messagesOf(request.body).flatMap(({ role, content }) => [h("dt", {}, role), h("dd", {}, said(content))]);
    found.push(h("h3", {}, `The request${suffix}`), h("dl", { class: "opened-messages" }, ...messages), exact("The exact request", request.body));
  }
  if (response !== null) {
    const text = answerOf(response.body);
    found.push(h("h3", {}, `The answer${suffix}`), text === "" ? h("p", {}, "It holds no text that this page can take out; see its exact bytes.") : said(text), exact("The exact answer", response.body));
  }
  return found;
}

/** Why something could not be read, as an alert. */
export function drawProblem(error: unknown): HTMLElement {
  const known = error instanceof HallmarkError;
  const sentence = known ? [error.message, error.hint].filter(Boolean).join(" ") : `It did not work: ${error instanceof Error ? error.message : String(error)}`;
  return h("div", { class: "notice notice-bad", role: "alert" }, h("p", {}, sentence), known && h("p", { class: "small" }, "Reason: ", h("code", {}, error.reason)));
}

function said(text: string): HTMLElement {
  return h("pre", { class: "opened-said", "data-quoted": "", tabindex: "0" }, text);
}

function exact(name: string, body: string): HTMLElement {
  return h("details", {}, h("summary", {}, name), said(body));
}
