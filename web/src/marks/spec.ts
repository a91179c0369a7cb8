// marks.json, typed. The JSON is the single source of geometry and words; this file only says what is in it.
import raw from "../../../src/hallmark/apps/web/spec/marks.json" with { type: "json" };

/** The seven questions, in the order in which they always stand. */
export const QUESTIONS = ["ran", "model", "route", "inputs", "paid", "proved", "reviewed"] as const;
/** One of the seven questions. */
export type Question = (typeof QUESTIONS)[number];

/** The ten states of a mark. */
export const STATES = [
  "absent",
  "not_required",
  "claimed",
  "checked",
  "witnessed",
  "anchored",
  "stale",
  "disputed",
  "revoked",
  "failed",
] as const;
/** One of the ten states. */
export type State = (typeof STATES)[number];

/** One question: letter, cartouche and words. `size` replaces the letter's font size, `words` and `tones` replace those of the states. */
export interface QuestionSpec {
  readonly letter: string;
  readonly name: string;
  readonly cartouche: string;
  readonly baseline: number;
  readonly size?: number;
  readonly path: string;
  readonly half: string;
  readonly question: string;
  readonly counter: string;
  readonly absent: string;
  readonly words?: Readonly<Record<State, string>>;
  readonly tones?: Readonly<Record<State, string>>;
}

/** One state: word, class, tone, and the layers it is struck with, bottom first. */
export interface StateSpec {
  readonly word: string;
  readonly class: string;
  readonly tone: string;
  readonly negative: boolean;
  readonly layers: readonly string[];
  readonly simulated: readonly string[];
}

/** One layer: the question's path, half or letter, or a path of its own, with SVG attributes. */
export interface LayerSpec {
  readonly use?: "path" | "half" | "letter";
  readonly d?: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** What marks.json holds. */
export interface Spec {
  readonly format: string;
  readonly viewBox: string;
  readonly order: readonly Question[];
  readonly questions: Readonly<Record<Question, QuestionSpec>>;
  readonly states: Readonly<Record<State, StateSpec>>;
  readonly layers: Readonly<Record<string, LayerSpec>>;
  readonly letter: Readonly<Record<string, string>>;
  readonly hatch: {
    readonly pattern: Readonly<Record<string, string>>;
    readonly line: Readonly<Record<string, string>>;
  };
  readonly assurances: Readonly<Record<string, { readonly word: string; readonly states: "*" | readonly State[] }>>;
  readonly asserted: string;
  readonly label: string;
}

/** The one source of how marks are drawn and named. */
export const SPEC = raw as unknown as Spec;
