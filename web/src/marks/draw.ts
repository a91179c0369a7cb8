// How marks are drawn, in TypeScript and in the Jinja macro alike, from src/hallmark/apps/web/spec/marks.json.
//
// One mark, children in this order, those in [] only where they apply; nothing else, no style attribute:
//
//   <span class="hm-mark hm-claimed" role="listitem" data-question="ran" data-state="claimed" data-tone="grey"
//         [data-negative=""] [data-assurance="simulated"] tabindex="0" aria-label="LABEL" title="LABEL">
//     <svg class="hm-cartouche" aria-hidden="true" viewBox="0 0 48 48">
//       [<defs><pattern id="HATCH" ...hatch.pattern><path ...hatch.line></path></pattern></defs>]
//       ...layers
//     </svg>
//     <span class="hm-name">ran</span> <span class="hm-word">claimed</span>
//     [<span class="hm-assurance">simulated</span>] [<span class="hm-assertion">asserted by X</span>]
//     [<span class="hm-gap" title="FULL TIME">+18 ms</span>]
//   </span>
//
// - Layers: `states[state].simulated` when the question is `ran` and its assurance is `simulated`, else
//   `states[state].layers`; each names an entry of `layers`. An entry is a <path> (d: the question's `path` or `half`
//   as `use` says, or its own `d`) or, for use "letter", a <text> with the attributes of `letter`, y = the question's
//   `baseline`, font-size = its `size` where it has one.
//   Attributes as listed, `{hatch}` replaced by an id that is unique on the page. The pattern is there only if used.
// - Word and tone: the question's own `words` and `tones` where it has them (paid), else the state's.
// - Assurance word: `assurances[assurance].word`, only in its `states`. Assertion: model marks with detail.asserted_by.
// - LABEL: `label` of the JSON with name, word, qualifier ("; simulated", "; asserted by X" or nothing), shows and
//   does_not_show of the mark. Nothing else may enter it.
// - Gap: since - answerAt, when both are known (above 0). C2SP cosignatures carry whole seconds, so `since` may stand up to
//   a second before the last byte: -1000 < gap < 0 with since % 1000 = 0 reads "< 1 s"; see gapOf in gap.ts.
import { gapOf } from "./gap.ts";
import { QUESTIONS, SPEC, type LayerSpec, type Question, type QuestionSpec, type State } from "./spec.ts";
import { el, toNode, type Tree } from "./tree.ts";

/** What drawing needs of a mark; the verifier's marks and the JSON form of the API both fit. */
export interface MarkView {
  readonly state: State;
  readonly since: number;
  readonly by: string;
  readonly shows: string;
  readonly does_not_show: string;
  readonly assurance: string;
  readonly reason: string;
  readonly detail: Readonly<Record<string, string>>;
}

/** The seven marks by question. */
export type MarksView = Readonly<Record<Question, MarkView>>;

/** Of a clearing policy: its name and the questions that it waives. */
export interface Waiver {
  readonly name: string;
  readonly not_required: readonly string[];
}

/** `answerAt`: unix ms of the last byte, 0 when unknown; `size`: small (20 px) for tables, large for a page's head. */
export interface RowOptions {
  readonly answerAt: number;
  readonly policy?: Waiver | undefined;
  readonly size?: "small" | "large" | undefined;
}

let drawn = 0;

/** The mark of a question about which nothing is known. */
export function absentMark(question: Question): MarkView {
  const { absent, counter } = SPEC.questions[question];
  return {
    state: "absent",
    since: 0,
    by: "",
    shows: absent,
    does_not_show: counter,
    assurance: "",
    reason: "",
    detail: {},
  };
}

/** Seven absent marks. */
export function absentMarks(): MarksView {
  return Object.fromEntries(QUESTIONS.map((question) => [question, absentMark(question)])) as unknown as MarksView;
}

/** The marks as a policy presents them: what it waives and nobody spoke about reads `not_required`, by the policy. */
export function waived(marks: MarksView, policy: Waiver | undefined): MarksView {
  if (policy === undefined) return marks;
  const shown = QUESTIONS.map((question): [Question, MarkView] => {
    const mark = marks[question];
    const waives = mark.state === "absent" && policy.not_required.includes(question);
    return [question, waives ? { ...mark, state: "not_required", by: `policy ${policy.name}` } : mark];
  });
  return Object.fromEntries(shown) as unknown as MarksView;
}

/** Word of a question's state; `paid` has words of its own. */
export function wordOf(question: Question, state: State): string {
  return SPEC.questions[question].words?.[state] ?? SPEC.states[state].word;
}

/** The word for the hardware behind `ran`, or nothing where the state does not carry it. */
export function assuranceWord(question: Question, mark: MarkView): string {
  const known = question === "ran" ? SPEC.assurances[mark.assurance] : undefined;
  return known !== undefined && (known.states === "*" || known.states.includes(mark.state)) ? known.word : "";
}

/** "asserted by X" for a model that a provider merely asserts, else nothing. */
export function assertion(question: Question, mark: MarkView): string {
  const by = question === "model" ? (mark.detail["asserted_by"] ?? "") : "";
  return by === "" ? "" : SPEC.asserted.replace("{by}", () => by);
}

/** What a screen reader says of a mark: built from its word, assurance and two sentences alone. */
export function labelOf(question: Question, mark: MarkView): string {
  const qualifier = [assuranceWord(question, mark), assertion(question, mark)].filter((text) => text !== "");
  const parts: Record<string, string> = {
    name: SPEC.questions[question].name,
    word: wordOf(question, mark.state),
    qualifier: qualifier.map((text) => `; ${text}`).join(""),
    shows: mark.shows,
    does_not_show: mark.does_not_show,
  };
  return SPEC.label.replace(/\{(\w+)\}/g, (_, name: string) => parts[name] ?? "");
}

/** The description of one mark; `hatch` is an id that is unique on the page. */
export function markTree(question: Question, mark: MarkView, answerAt: number, hatch: string): Tree {
  const state = SPEC.states[mark.state];
  const label = labelOf(question, mark);
  const assurance = assuranceWord(question, mark);
  const asserted = assertion(question, mark);
  const gap = answerAt > 0 && mark.since > 0 ? gapOf(mark.since, answerAt) : undefined;
  const attributes: Record<string, string> = {
    class: `hm-mark ${state.class}`,
    role: "listitem",
    "data-question": question,
    "data-state": mark.state,
    "data-tone": SPEC.questions[question].tones?.[mark.state] ?? state.tone,
    ...(state.negative ? { "data-negative": "" } : {}),
    ...(question === "ran" && mark.assurance !== "" ? { "data-assurance": mark.assurance } : {}),
    tabindex: "0",
    "aria-label": label,
    title: label,
  };
  return el(
    "span",
    attributes,
    cartouche(question, mark, hatch),
    el("span", { class: "hm-name" }, SPEC.questions[question].name),
    el("span", { class: "hm-word" }, wordOf(question, mark.state)),
    assurance === "" ? "" : el("span", { class: "hm-assurance" }, assurance),
    asserted === "" ? "" : el("span", { class: "hm-assertion" }, asserted),
    gap === undefined ? "" : el("span", { class: "hm-gap", title: gap.title }, gap.text),
  );
}

/** The description of a row; `prefix` makes its hatch ids unique on the page. */
export function rowTree(marks: MarksView, options: RowOptions, prefix: string): Tree {
  const shown = waived(marks, options.policy);
  const attributes = {
    class: "hm-marks",
    role: "list",
    "aria-label": "Seven marks",
    ...(options.size ? { "data-size": options.size } : {}),
  };
  return el(
    "span",
    attributes,
    ...QUESTIONS.map((question) => markTree(question, shown[question], options.answerAt, `${prefix}-${question}`)),
  );
}

/** One mark as an element. */
export function renderMark(question: Question, mark: MarkView, answerAt = 0): HTMLElement {
  return toNode(markTree(question, mark, answerAt, `hm-hatch-${(drawn += 1)}`)) as HTMLElement;
}

/** The row of seven marks as an element, all seven always, in their order. */
export function renderMarks(marks: MarksView, options: RowOptions): HTMLElement {
  return toNode(rowTree(marks, options, `hm-hatch-${(drawn += 1)}`)) as HTMLElement;
}

/** Draw other marks into a row that stands; a mark whose state changed is struck once, quietly. */
export function updateMarks(row: HTMLElement, marks: MarksView, options: RowOptions): void {
  const fresh = renderMarks(marks, options);
  QUESTIONS.forEach((question) => {
    const old = row.querySelector(`[data-question="${question}"]`);
    const next = fresh.querySelector(`[data-question="${question}"]`);
    if (old === null || next === null || markedAlike(old, next)) return;
    if (old.getAttribute("data-state") !== next.getAttribute("data-state")) next.setAttribute("data-struck", "");
    const focused = old === (old.getRootNode() as Document | ShadowRoot).activeElement;
    old.replaceWith(next);
    if (focused) (next as HTMLElement).focus({ preventScroll: true });
  });
}

function markedAlike(one: Element, other: Element): boolean {
  const seen = (mark: Element): string =>
    `${mark.getAttribute("data-state")}|${mark.getAttribute("data-assurance")}|${mark.getAttribute("aria-label")}|${mark.textContent}`;
  return seen(one) === seen(other);
}

function cartouche(question: Question, mark: MarkView, hatch: string): Tree {
  const state = SPEC.states[mark.state];
  const simulated = question === "ran" && mark.assurance === "simulated";
  const names = simulated ? state.simulated : state.layers;
  const layers = names.map((name) => SPEC.layers[name]).filter((layer) => layer !== undefined);
  const hatched = layers.some((layer) => Object.values(layer.attributes).some((value) => value.includes("{hatch}")));
  return el(
    "svg",
    { class: "hm-cartouche", "aria-hidden": "true", viewBox: SPEC.viewBox },
    hatched ? el("defs", {}, el("pattern", { id: hatch, ...SPEC.hatch.pattern }, el("path", SPEC.hatch.line))) : "",
    ...layers.map((layer) => layerTree(question, layer, hatch)),
  );
}

function layerTree(question: Question, layer: LayerSpec, hatch: string): Tree {
  const spec = SPEC.questions[question];
  const attributes = Object.fromEntries(
    Object.entries(layer.attributes).map(([name, value]) => [name, value.replace("{hatch}", hatch)]),
  );
  if (layer.use === "letter") return letterTree(spec, attributes);
  return el("path", { d: layer.use === undefined ? (layer.d ?? "") : spec[layer.use], ...attributes });
}

function letterTree(spec: QuestionSpec, attributes: Readonly<Record<string, string>>): Tree {
  const size = spec.size === undefined ? {} : { "font-size": String(spec.size) };
  return el("text", { ...SPEC.letter, ...size, y: String(spec.baseline), ...attributes }, spec.letter);
}
