/** Where two parties' marks of one receipt agree, and where not: the server's, and those derived here. */
import { isNegative, QUESTIONS, rank, type MarkJSON, type Question } from "./marks.ts";

/** Of a mark, what is compared. */
export interface Shown {
  readonly state: string;
  readonly assurance: string;
}

/**
 * How two parties' words on one question stand to each other: the same; here `less` or `more` of the ladder, because one had
 * parts or a chain that the other had not, which contradicts nobody; or `apart`.
 */
export type Standing = "apart" | "less" | "more" | "same";

/** One question: what each says, how that stands, and a sentence. */
export interface Line {
  readonly question: Question;
  readonly theirs: string;
  readonly ours: string;
  readonly standing: Standing;
  readonly sentence: string;
}

const ORDER: readonly Standing[] = ["apart", "less", "more", "same"];

/** Compares question by question; what is apart comes first, what is the same last. */
export function compareMarks(
  theirs: Readonly<Partial<Record<Question, Shown>>>, ours: Readonly<Record<Question, MarkJSON>>,
): Line[] {
  const lines = QUESTIONS.map((question): Line => {
    const [server, here] = [theirs[question], ours[question]];
    const [said, found] = [told(server?.state ?? "nothing", server?.assurance ?? ""), told(here.state, here.assurance)];
    const line = (standing: Standing, sentence: string): Line => ({ question, theirs: said, ours: found, standing, sentence });
    if (!server) return line("apart", `${question}: the page shows no such mark; this browser derives ${found}.`);
    if (said === found) return line("same", `${question}: both say ${found}.`);
    if (server.state === "not_required" && here.state === "absent") {
      return line("same", `${question}: neither says anything; a policy of the server's does not require it.`);
    }
    if (question === "proved" && server.state === "anchored" && here.state === "witnessed") {
      return line("less", "proved: both say at least witnessed; the server adds that a chain holds the checkpoint. That is its word: no chain was asked here.");
    }
    const standing = standingOf(server, here);
    return line(standing, `${question}: the server says ${said}, this browser derives ${found}. ${why(standing, server.state, here)}`);
  });
  return ORDER.flatMap((standing) => lines.filter((line) => line.standing === standing));
}

/** Two marks on the ladder differ in height alone, unless each names another hardware. */
function standingOf(server: Shown, here: MarkJSON): Standing {
  const [theirs, ours] = [rank(server.state), rank(here.state)];
  const named = [server.assurance, here.assurance].filter((each) => each && each !== "none");
  if (theirs < 0 || ours < 0 || theirs === ours || new Set(named).size > 1) return "apart";
  return ours < theirs ? "less" : "more";
}

function told(state: string, assurance: string): string {
  return assurance ? `${state} (${assurance})` : state;
}

function why(standing: Standing, server: string, here: MarkJSON): string {
  if (isNegative(here.state)) return here.shows;
  if (standing === "more") return "It may have risen since the page was made; load it again.";
  if (isNegative(server)) return "The file that came with this page does not show what speaks against it; ask the server for it.";
  if (standing === "less") return `The file that came with this page shows no more than this: ${here.shows}`;
  return "Its state may have changed since the page was made; load it again.";
}
