// How marks are drawn: every state of every question, simulated and not; and what a label may say.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  absentMark,
  absentMarks,
  assertion,
  assuranceWord,
  labelOf,
  markTree,
  rowTree,
  waived,
  wordOf,
  type MarkView,
  type MarksView,
} from "../src/marks/draw.ts";
import { fullTime, gapOf, gapText } from "../src/marks/gap.ts";
import { QUESTIONS, SPEC, STATES, type Question, type State } from "../src/marks/spec.ts";
import { toMarkup, type Tree } from "../src/marks/tree.ts";

const mark = (question: Question, state: State, more: Partial<MarkView> = {}): MarkView => ({
  ...absentMark(question),
  state,
  since: 1018,
  ...more,
});
const drawing = (question: Question, state: State, more: Partial<MarkView> = {}): string => {
  const tree = markTree(question, mark(question, state, more), 1000, "h1") as { children: Tree[] };
  return toMarkup(tree.children[0] ?? "");
};
const STRUCK: readonly State[] = ["witnessed", "anchored"];

test("the row always holds all seven in their order, with words in the text", () => {
  const markup = toMarkup(rowTree(absentMarks(), { answerAt: 0 }, "p"));
  assert.deepEqual(
    [...markup.matchAll(/data-question="(\w+)"/g)].map((found) => found[1]),
    [...QUESTIONS],
  );
  assert.equal(markup.match(/class="hm-word"/g)?.length, 7);
  assert.doesNotMatch(markup, / style=/);
});

test("no two questions share an outline or a letter, and no two states of one question a drawing", () => {
  assert.equal(new Set(QUESTIONS.map((question) => SPEC.questions[question].path)).size, 7);
  assert.equal(new Set(QUESTIONS.map((question) => SPEC.questions[question].letter)).size, 7);
  for (const question of QUESTIONS) {
    assert.equal(new Set(STATES.map((state) => drawing(question, state))).size, STATES.length, question);
    assert.equal(new Set(STATES.map((state) => wordOf(question, state))).size, STATES.length, question);
  }
});

test("only struck states are solid; simulated ran never is, and is always hatched and named", () => {
  for (const question of QUESTIONS) {
    for (const state of STATES) {
      const solid = drawing(question, state).includes('class="hm-solid"');
      assert.equal(solid, STRUCK.includes(state) || state === "disputed", `${question} ${state}`);
    }
  }
  for (const state of STATES) {
    const simulated = drawing("ran", state, { assurance: "simulated" });
    assert.doesNotMatch(simulated, /hm-solid/, state);
    assert.match(simulated, /fill="url\(#h1\)"/, state);
    assert.match(simulated, /<pattern id="h1"/, state);
    const whole = toMarkup(markTree("ran", mark("ran", state, { assurance: "simulated" }), 0, "h"));
    assert.match(whole, /<span class="hm-assurance">simulated<\/span>/, state);
    assert.match(labelOf("ran", mark("ran", state, { assurance: "simulated" })), /; simulated\./, state);
  }
});

test("green and blue stand for struck states alone, and for paid never", () => {
  for (const state of STATES) {
    assert.equal(["green", "blue"].includes(SPEC.states[state].tone), STRUCK.includes(state), state);
  }
  const others = new Set(STATES.map((state) => SPEC.states[state].tone));
  const words = new Set(STATES.map((state) => SPEC.states[state].word));
  for (const state of STATES) {
    assert.equal(
      others.has(SPEC.questions.paid.tones?.[state] ?? SPEC.states[state].tone),
      false,
      `paid ${state} tone`,
    );
    assert.equal(words.has(wordOf("paid", state)), false, `paid ${state} word`);
  }
});

test("hardware is named only where the state carries it", () => {
  for (const state of STATES) {
    const word = assuranceWord("ran", mark("ran", state, { assurance: "hardware" }));
    assert.equal(word, ["checked", "witnessed", "anchored"].includes(state) ? "hardware" : "", state);
  }
  assert.equal(assuranceWord("model", mark("model", "witnessed", { assurance: "hardware" })), "");
  assert.equal(assuranceWord("ran", mark("ran", "claimed", { assurance: "none" })), "no enclave");
});

test("a model that a provider asserts says so, under the mark and in the label", () => {
  const asserted = mark("model", "claimed", { detail: { asserted_by: 'a"b.example$&' } });
  assert.equal(assertion("model", asserted), 'asserted by a"b.example$&');
  assert.match(labelOf("model", asserted), /^model: claimed; asserted by a"b\.example\$&\. /);
  assert.equal(assertion("route", asserted), "");
  assert.match(toMarkup(markTree("model", asserted, 0, "h")), /class="hm-assertion">asserted by a&#34;b/);
});

test("a label holds name, word, qualifier and the two sentences, and nothing that detail or reason bring", () => {
  const told = labelOf(
    "proved",
    mark("proved", "failed", {
      shows: "S {x}.",
      does_not_show: "D.",
      reason: "secure",
      detail: { what: "verified" },
      by: "trusted",
    }),
  );
  assert.equal(told, "proved: failed. S {x}. D.");
});

test("text in a mark cannot become markup", () => {
  const markup = toMarkup(
    markTree("ran", mark("ran", "claimed", { shows: '"><script>', does_not_show: "<b>" }), 0, "h"),
  );
  assert.doesNotMatch(markup, /<script|<b>/);
});

test("a policy waives only what is absent and not required, and says so", () => {
  const marks: MarksView = { ...absentMarks(), inputs: mark("inputs", "failed") };
  const shown = waived(marks, { name: "witnessed", not_required: ["paid", "inputs"] });
  assert.deepEqual(
    [shown.paid.state, shown.paid.by, shown.inputs.state, shown.ran.state],
    ["not_required", "policy witnessed", "failed", "absent"],
  );
  assert.equal(waived(marks, undefined), marks);
});

test("gaps are short words, and a cosignature's whole second is not taken for a time before the answer", () => {
  assert.deepEqual([0, 18, 999, 1000, 9949, 10_000, 150_000, 7_200_000, 200_000_000, -5].map(gapText), [
    "+0 ms",
    "+18 ms",
    "+999 ms",
    "+1.0 s",
    "+9.9 s",
    "+10 s",
    "+3 min",
    "+2 h",
    "+2 days",
    "\u22125 ms",
  ]);
  assert.equal(gapOf(5000, 5882).text, "< 1 s");
  assert.deepEqual(
    [gapOf(5001, 5882).text, gapOf(5000, 6000).text, gapOf(5018, 5000).text],
    ["\u2212881 ms", "\u22121.0 s", "+18 ms"],
  );
  assert.equal(fullTime(18, 18), "1970-01-01 00:00:00.018 UTC, 18 ms after the last byte");
});
