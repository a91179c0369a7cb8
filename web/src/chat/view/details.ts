// The panel of one answer: receipt, marks with their sentences, route, artifact, node, tokens, and the exact request.
import { QUESTIONS, SPEC } from "../../marks/spec.ts";
import { assuranceWord, renderMark, waived, wordOf, type MarkView } from "../../marks/draw.ts";
import type { Question } from "../../marks/spec.ts";
import { timedMarks, type Live } from "../answers.ts";
import { documentOf } from "../dossier.ts";
import { factsOf, providerOf, sawPrompt } from "../facts.ts";
import { numberAt, textAt, valueAt, type RawMembers } from "../rawjson.ts";
import { isRecord } from "../sse.ts";
import { waiverOf } from "../trust.ts";
import type { AnswerFacts } from "./answer.ts";
import { clockOf, h, identifier } from "./dom.ts";

/** Everything that is known of an answer, in words. */
export function detailsOf({ message, live, trust, policy }: AnswerFacts): HTMLElement {
  const dossier = live.dossier;
  if (dossier === undefined) return h("p", {}, "No receipt of this answer is on this page.");
  const timed = timedMarks(live, message.answer);
  const marks = waived(timed.marks, waiverOf(trust, policy));
  return h(
    "div",
    {},
    h("h2", {}, "Seven marks, as this page derived them at ", h("time", {}, clockOf(live.judgedAt))),
    h(
      "ul",
      { class: "c-sentences" },
      ...QUESTIONS.map((question) => sentence(question, marks[question], timed.answerAt)),
    ),
    h("h2", {}, "What the receipt names"),
    facts(dossier, live, message.answer?.model ?? ""),
    h("h2", {}, "What was sent"),
    sent(dossier),
  );
}

function sentence(question: Question, mark: MarkView, answerAt: number): HTMLElement {
  const by = mark.state === "not_required" && mark.by !== "" ? ` By ${mark.by}.` : "";
  return h(
    "li",
    {},
    h(
      "span",
      { class: "hm-marks hm-one", role: "list", "aria-label": "One mark" },
      renderMark(question, mark, answerAt),
    ),
    h(
      "div",
      {},
      h(
        "p",
        {},
        h("strong", {}, `${SPEC.questions[question].name}: ${wordOf(question, mark.state)}.`),
        ` ${mark.shows}${by}`,
      ),
      h("p", { class: "c-counter" }, mark.does_not_show),
    ),
  );
}

function facts(dossier: RawMembers, live: Live, label: string): HTMLElement {
  const id = textAt(dossier, "id");
  const found = factsOf(dossier, label);
  const provider = providerOf(dossier);
  const asserted = documentOf(dossier, "upstream")["asserted_model"];
  const manifest = documentOf(dossier, "manifest");
  const rows: [string, Node | string][] = [
    ["receipt", identifier(id, `/explore/receipts/${id}`)],
    provider === ""
      ? [
          "artifact",
          h(
            "span",
            {},
            identifier(found.artifact),
            ` label ${String(manifest["label"] ?? label)} version ${String(manifest["version"] ?? "not shown")}`,
          ),
        ]
      : ["model", `${typeof asserted === "string" ? asserted : label}, asserted by ${provider}; no artifact is named`],
    ["node", identifier(found.node)],
    ["mode", modeWords(found.mode, live.judged.marks.ran)],
    ["path", found.path],
    ...sealedRows(dossier),
    ["saw the question in clear", h("ul", {}, ...sawPrompt(dossier, live.judged.marks.ran.assurance).map((line) => h("li", {}, line)))],
    ["tokens", `${numberAt(dossier, "receipt", "tokensIn")} in, ${numberAt(dossier, "receipt", "tokensOut")} out`],
    [
      "took",
      `${Math.max(0, numberAt(dossier, "receipt", "finished") - numberAt(dossier, "receipt", "started"))} ms at the node`,
    ],
  ];
  return h("dl", { class: "c-facts" }, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** To which keys a sealed question was sealed and how large it was outside, by the receipt; the relay is this page's own word. */
function sealedRows(dossier: RawMembers): [string, Node | string][] {
  const sealed = documentOf(dossier, "route")["sealed"];
  if (!isRecord(sealed)) return [];
  const relay = sealed["relay"] === "" ? "which one is not said" : `${String(sealed["relay"])}, as this page told the enclave`;
  return [
    ["sealed to", h("span", {}, identifier(String(sealed["configuration"])), ` ${String(sealed["suite"])}, window ${String(sealed["window"])}`)],
    ["size class", `${String(sealed["size"])} bytes`],
    ["relay", relay],
  ];
}

/** A mode never stands without what is known of the hardware under it. */
function modeWords(mode: string, ran: MarkView): string {
  const word = assuranceWord("ran", ran);
  return word === "" ? `${mode}, as the node says` : `${mode}; ${word}`;
}

/** Every message that went into the answer, as the request holds them: the model saw these and nothing else of the conversation. */
function sent(dossier: RawMembers): HTMLElement {
  const body = valueAt(dossier, "request", "body");
  const messages = typeof body === "string" ? readMessages(body) : [];
  if (messages.length === 0) return h("p", {}, "The request is not on this page.");
  return h(
    "div",
    {},
    h(
      "dl",
      { class: "c-facts c-sent" },
      ...messages.flatMap(({ role, content }) => [h("dt", {}, role), h("dd", { "data-quoted": "" }, content)]),
    ),
    h("p", { class: "c-counter" }, "The saved receipt holds the request to the byte."),
  );
}

function readMessages(body: string): { role: string; content: string }[] {
  const value: unknown = JSON.parse(body);
  const messages = isRecord(value) ? value["messages"] : undefined;
  return Array.isArray(messages)
    ? messages
        .filter(isRecord)
        .map((message) => ({ role: String(message["role"]), content: String(message["content"]) }))
    : [];
}
