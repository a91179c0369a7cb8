/** Where two parties' marks of one receipt agree, and where not: the server's, and those derived here. */
import { isNegative, QUESTIONS, rank, type MarkJSON, type Question } from "./marks.ts";

/** Of a mark, what is compared. */
export interface Shown {
  readonly state: string;
  readonly assurance: string;
}

/** One question: what each says, whether they agree, and a sentence. */
export interface Line {
  readonly question: Question;
  readonly theirs: string;
  readonly ours: string;
  readonly agrees: boolean;
  readonly sentence: string;
}

/**
 * Compares question by question; disagreements come first. A server that asked a chain may say `anchored` where a browser,
 * which asks none, says `witnessed`: that is said, and is no disagreement.
 */
export function compareMarks(
  theirs: Readonly<Partial<Record<Question, Shown>>>, ours: Readonly<Record<Question, MarkJSON>>,
): Line[] {
  const lines = QUESTIONS.map((question): Line => {
    const [server, here] = [theirs[question], ours[question]];
    const [said, found] = [told(server?.state ?? "nothing", server?.assurance ?? ""), told(here.state, here.assurance)];
    const line = (agrees: boolean, sentence: string): Line => ({ question, theirs: said, ours: found, agrees, sentence });
    if (!server) return line(false, `${question}: the page shows no such mark; this browser derives ${found}.`);
    if (said === found) return line(true, `${question}: both say ${found}.`);
    if (question === "proved" && server.state === "anchored" && here.state === "witnessed") {
      return line(true, "proved: both say at least witnessed; the server adds that a chain holds the checkpoint. That is its word: no chain was asked here.");
    }
    return line(false, `${question}: the server says ${said}, this browser derives ${found}. ${why(server.state, here)}`);
  });
  return [...lines.filter((line) => !line.agrees), ...lines.filter((line) => line.agrees)];
}

function told(state: string, assurance: string): string {
  return assurance ? `${state} (${assurance})` : state;
}

function why(server: string, here: MarkJSON): string {
  if (isNegative(here.state)) return here.shows;
  if (isNegative(server)) return "The file that came with this page does not show what speaks against it; ask the server for it.";
  if (rank(here.state) < rank(server)) return `The file that came with this page shows no more than this: ${here.shows}`;
  return "Its state may have changed since the page was made; load it again.";
}
