// The panel of one answer: receipt, marks with their sentences, route, artifact, node, tokens, and the exact request.
import { QUESTIONS, SPEC } from "../../marks/spec.ts";
import { renderMark, waived, wordOf, type MarkView } from "../../marks/draw.ts";
import type { Question } from "../../marks/spec.ts";
import { timedMarks } from "../answers.ts";
import { documentOf } from "../dossier.ts";
import { factsOf, providerOf, sawPrompt } from "../facts.ts";
import { numberAt, textAt, valueAt, type RawMembers } from "../rawjson.ts";
import { waiverOf } from "../trust.ts";
import type { AnswerFacts } from "./answer.ts";
import { clockOf, h, identifier } from "./dom.ts";

/** Everything that is known of an answer, in words. */
export function detailsOf({ message, live, trust, policy }: AnswerFacts): HTMLElement {
  const dossier = live.dossier;
  if (dossier === undefined) return h("p", {}, "No receipt of this answer is on this page.");
  const id = textAt(dossier, "id");
  const timed = timedMarks(live, message.answer);
  const marks = waived(timed.marks, waiverOf(trust, policy));
  return h(
    "div", {},
    h("h2", {}, "Seven marks, as this page derived them at ", h("time", {}, clockOf(live.judgedAt))),
    h("ul", { class: "c-sentences" }, ...QUESTIONS.map((question) => sentence(question, marks[question], timed.answerAt))),
    h("h2", {}, "What the receipt names"),
    facts(dossier, message.answer?.model ?? "", id),
    h("h2", {}, "What was sent, to the byte"),
    h("pre", { class: "c-sent", tabindex: "0", "aria-label": "The exact request" }, String(valueAt(dossier, "request", "body") ?? "It is not here.")),
  );
}

function sentence(question: Question, mark: MarkView, answerAt: number): HTMLElement {
  const by = mark.state === "not_required" && mark.by !== "" ? ` By ${mark.by}.` : "";
  return h(
    "li", {},
    h("span", { class: "hm-marks", role: "list" }, renderMark(question, mark, answerAt)),
    h(
      "div", {},
      h("p", {}, h("strong", {}, `${SPEC.questions[question].name}: ${wordOf(question, mark.state)}.`), ` ${mark.shows}${by}`),
      h("p", { class: "c-counter" }, mark.does_not_show),
    ),
  );
}

function facts(dossier: RawMembers, label: string, id: string): HTMLElement {
  const found = factsOf(dossier, label);
  const provider = providerOf(dossier);
  const asserted = documentOf(dossier, "upstream")["asserted_model"];
  const manifest = documentOf(dossier, "manifest");
  const rows: [string, Node | string][] = [
    ["receipt", identifier(id, `/explore/receipts/${id}`)],
    provider === ""
      ? ["artifact", h("span", {}, identifier(found.artifact), ` label ${String(manifest["label"] ?? label)} version ${String(manifest["version"] ?? "not shown")}`)]
      : ["model", `${typeof asserted === "string" ? asserted : label}, asserted by ${provider}; no artifact is named`],
    ["node", identifier(found.node)],
    ["mode", found.mode],
    ["path", found.path],
    ["saw the question in clear", h("ul", {}, ...sawPrompt(dossier).map((line) => h("li", {}, line)))],
    ["tokens", `${numberAt(dossier, "receipt", "tokensIn")} in, ${numberAt(dossier, "receipt", "tokensOut")} out`],
    ["took", `${Math.max(0, numberAt(dossier, "receipt", "finished") - numberAt(dossier, "receipt", "started"))} ms at the node`],
  ];
  return h("dl", { class: "c-facts" }, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
