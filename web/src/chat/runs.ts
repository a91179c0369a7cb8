// One question asked: from the exact request text to an answer with its receipt, or to trouble in words.
import { ask, Failed, type Asking } from "./api.ts";
import { openAnswer } from "./dossier.ts";
import { splitStream } from "./answer.ts";
import { answersNonce, factsOf, keepsMode } from "./facts.ts";
import { readShortfalls } from "./gate.ts";
import { textAt, type RawMembers } from "./rawjson.ts";
import { PATH } from "./request.ts";
import { isFinished, textOf } from "./sse.ts";
import { HallmarkError } from "../verify/errors.ts";
import type { AnswerState, Trouble } from "./tree.ts";

/** What is asked: exact request text and the beginnings of the answer's state. */
export interface Question {
  readonly text: string;
  readonly state: AnswerState;
  readonly mode: string;
  readonly signal: AbortSignal;
  /** Whether the person asked to stop it. */
  readonly stopped: () => boolean;
  readonly onText: (text: string) => void;
  /** Where the question is asked sealed: how, and what its receipt has to say. Then it is asked no other way. */
  readonly sealed: SealedAsking | undefined;
}

/** See `Question`. `ask` throws as the plain one does, and what sealing has to say; `check` throws what the receipt says otherwise. */
export interface SealedAsking {
  ask(asking: Asking): Promise<Uint8Array<ArrayBuffer>>;
  check(dossier: RawMembers): void;
}

/** How it ended: state, the text that the receipt covers (or what had come), and the dossier if a receipt came. */
export interface Ended {
  readonly state: AnswerState;
  readonly text: string;
  readonly dossier: RawMembers | undefined;
}

/** Asks and reads the answer. Never throws: trouble becomes the answer's state. */
export async function run(question: Question): Promise<Ended> {
  const { state } = question;
  let text = "";
  const onText = (more: string): void => {
    text += more;
    question.onText(more);
  };
  try {
    const asking = {
      text: question.text,
      nonce: state.nonce,
      policy: state.policy,
      mode: question.mode,
      signal: question.signal,
      onText,
    };
    const body = await (question.sealed === undefined ? ask(asking) : question.sealed.ask(asking));
    return complete(question, body, Date.now());
  } catch (error) {
    if (question.signal.aborted || isStop(error)) return { state: { ...state, outcome: "stopped" }, text, dossier: undefined };
    if (error instanceof Failed && error.trouble.reason === "held") return held(state, error);
    const trouble = troubleFrom(error);
    return {
      state: { ...state, outcome: "failed", trouble },
      text: NOT_SHOWN.has(trouble.reason) ? "" : text,
      dossier: undefined,
    };
  }
}

/** What a receipt says that makes the text before it nobody's answer to this question. */
const NOT_SHOWN: ReadonlySet<string> = new Set(["nonce_mismatch", "route_mismatch", "mode_not_kept"]);

/** The node stopped before anything had left. */
function isStop(error: unknown): boolean {
  return error instanceof Failed && error.trouble.reason === "stopped";
}

function complete({ text, state, mode, stopped, sealed }: Question, body: Uint8Array<ArrayBuffer>, arrivedAt: number): Ended {
  const dossier = openAnswer(PATH, text, body);
  if (!answersNonce(dossier, state.nonce)) {
    throw new HallmarkError(
      "nonce_mismatch",
      "The receipt is of another request, or of an old one, so its answer is not shown.",
      "Keep nothing of it. Ask again.",
    );
  }
  if (!keepsMode(dossier, mode)) {
    throw new HallmarkError(
      "mode_not_kept",
      `The question asked for the mode ${mode}, and the receipt has another one, so its answer is not shown.`,
      "Keep nothing of it: somebody on the way left the mode out, or the node did not keep it.",
    );
  }
  sealed?.check(dossier);
  const covered = splitStream(body).content;
  const facts = factsOf(dossier, state.model);
  const more = { receipt: textAt(dossier, "id"), arrivedAt, facts };
  const outcome = stopped() && !isFinished(covered) ? "stopped" : "complete";
  return { state: { ...state, ...more, outcome }, text: textOf(covered), dossier };
}

/** A withheld answer. Which marks lack is told by their names alone: their states are this page's to derive. */
function held(state: AnswerState, { body, trouble }: Failed): Ended {
  const names = (value: unknown): string => [...new Set(readShortfalls(value).map((one) => one.question))].join(", ");
  const [failed, missing] = [names(body["failed"]), names(body["missing"])];
  const lacks = [failed === "" ? "" : `failed: ${failed}`, missing === "" ? "" : `missing: ${missing}`]
    .filter((text) => text !== "")
    .join("; ");
  const message = `The gateway withheld the answer: its policy ${state.policy} is not met.${lacks === "" ? "" : ` By the gateway's word, ${lacks}.`}`;
  const receipt = body["receipt"];
  const known = typeof receipt === "string" && /^0x[0-9a-f]{64}$/.test(receipt) ? receipt : "";
  return {
    state: { ...state, outcome: "held", receipt: known, trouble: { ...trouble, message } },
    text: "",
    dossier: undefined,
  };
}

/** Trouble in words. */
export function troubleFrom(error: unknown): Trouble {
  if (error instanceof Failed) return error.trouble;
  if (error instanceof HallmarkError) {
    const hint =
      error.hint === ""
        ? "Ask again. What came without a receipt is no answer that anybody stands behind."
        : error.hint;
    return {
      reason: error.reason,
      message: error.message,
      hint,
      detail: JSON.stringify({ reason: error.reason, message: error.message }),
    };
  }
  return {
    reason: "page_error",
    message: "Something went wrong in this page.",
    hint: "Reload the page; what was kept is still there.",
    detail: String(error),
  };
}
