// What the tests of conversations start from: an answer's state as it stands when nothing is known of it yet.
import type { AnswerState } from "../src/chat/tree.ts";

/** An answer of this outcome, with nothing else said of it. */
export const answered = (outcome: AnswerState["outcome"] = "complete"): AnswerState => ({
  outcome,
  model: "m",
  asserted: "",
  policy: "",
  nonce: "",
  receipt: "",
  arrivedAt: 0,
  provedAt: 0,
  facts: null,
  trouble: null,
});
