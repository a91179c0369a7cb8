// Answers while the page is open: their dossiers, and their marks as verified here and now. Marks are never kept: a page that
// is opened again verifies again.
import { dossierText, readDossier } from "./dossier.ts";
import { follow, type FetchNews, type Step } from "./follow.ts";
import { judge, unjudged, type Judged } from "./judge.ts";
import type { Library } from "./library.ts";
import { numberAt, type RawMembers } from "./rawjson.ts";
import { policyNames } from "./trust.ts";
import type { AnswerState, Message } from "./tree.ts";
import type { MarksView, MarkView } from "../marks/draw.ts";
import { QUESTIONS } from "../marks/spec.ts";

/** What is known of an answer now; `checkedAt` is when it was first verified here (unix ms). `note` says why nothing is new; `following` while proofs are awaited. */
export interface Live {
  readonly judged: Judged;
  readonly judgedAt: number;
  readonly checkedAt: number;
  readonly dossier: RawMembers | undefined;
  readonly stage: string;
  readonly note: string;
  readonly following: boolean;
}

const NOTHING: Live = {
  judged: unjudged(""),
  judgedAt: 0,
  checkedAt: 0,
  dossier: undefined,
  stage: "",
  note: "",
  following: false,
};

/**
 * Verifies answers and follows their receipts; tells `changed` with a message's id, and
 * `proved` once when an answer that came on this page is first verified as witnessed.
 */
export class Answers {
  /** The trust file's exact text; "" until it is known. */
  trust = "";
  private readonly library: Library;
  private readonly newsFor: (answer: AnswerState) => FetchNews;
  private readonly changed: (id: string) => void;
  private readonly proved: (id: string, at: number) => void;
  private readonly fresh = new Set<string>();
  private readonly known = new Map<string, Live>();
  private readonly running = new Map<string, AbortController>();

  /** `newsFor` says which way an answer's proofs are asked for. */
  constructor(
    library: Library,
    newsFor: (answer: AnswerState) => FetchNews,
    changed: (id: string) => void,
    proved: (id: string, at: number) => void,
  ) {
    this.library = library;
    this.newsFor = newsFor;
    this.changed = changed;
    this.proved = proved;
  }

  /** What is known of an answer. */
  live(id: string): Live {
    return this.known.get(id) ?? NOTHING;
  }

  /** The policy by which an answer is in HOLD or not: its own, else `witnessed`, else the trust file's first. */
  policyOf(answer: AnswerState | null): string {
    const names = policyNames(this.trust);
    if (answer !== null && answer.policy !== "") return answer.policy;
    return names.includes("witnessed") ? "witnessed" : (names[0] ?? "");
  }

  /** Whether an answer is in HOLD: until its policy is met here, it is. */
  inHold(id: string): boolean {
    return this.live(id).judged.decision?.clear !== true;
  }

  /** Whether a message is an answer, with text, in HOLD. */
  isHeld({ id, answer, text }: Message): boolean {
    return answer !== null && text !== "" && this.inHold(id);
  }

  /** A receipt is here and will be verified once it is kept: until then nobody else opens the answer, to overtake that. */
  expect(id: string): void {
    this.known.set(id, NOTHING);
  }

  /** A receipt has arrived with its answer, and is kept: verify, follow once it is handed in, where that is this page's to do. */
  async arrived(id: string, answer: AnswerState, dossier: RawMembers, handedIn: Promise<void> = Promise.resolve()): Promise<void> {
    this.fresh.add(id);
    await this.verify(id, answer, dossier, "[]", {});
    await handedIn;
    void this.follow(id, answer);
  }

  /** Verifies an answer of an opened conversation from what is kept, and follows it if it is not witnessed. */
  async reopen(id: string, answer: AnswerState): Promise<void> {
    if (this.known.has(id) || answer.receipt === "" || this.trust === "") return;
    this.known.set(id, NOTHING);
    const text = await this.library.dossier(id);
    if (text !== undefined) await this.verify(id, answer, readDossier(text), "[]", {});
    void this.follow(id, answer);
  }

  /** Asks the network for proofs until the receipt is witnessed, or as long as makes sense. */
  async follow(id: string, answer: AnswerState): Promise<void> {
    if (this.running.has(id)) return;
    const control = new AbortController();
    this.running.set(id, control);
    this.set(id, { following: true });
    const how = { signal: control.signal, fetchNews: this.newsFor(answer) };
    await follow(answer.receipt, this.live(id).dossier, this.fresh.has(id), how, (news) => this.step(id, answer, news));
    this.running.delete(id);
    if (this.known.has(id)) this.set(id, { following: false });
  }

  /** Verifies every open answer again, as after another trust file was accepted. */
  async again(answers: ReadonlyMap<string, AnswerState>): Promise<void> {
    for (const [id, answer] of answers) {
      this.forget(id);
      await this.reopen(id, answer);
    }
  }

  /** Stops following and forgets. */
  forget(id: string): void {
    this.running.get(id)?.abort();
    this.running.delete(id);
    this.known.delete(id);
  }

  /** Stops following every answer. */
  forgetAll(): void {
    for (const id of [...this.known.keys()]) this.forget(id);
  }

  private async step(id: string, answer: AnswerState, news: Step): Promise<boolean> {
    if (!this.known.has(id)) return true;
    if (news.dossier === undefined) {
      this.set(id, { note: news.note });
      return false;
    }
    await this.verify(id, answer, news.dossier, news.status, {
      stage: news.stage || this.live(id).stage,
      note: news.note,
    });
    const proved = this.live(id).judged.marks.proved.state;
    if (proved === "witnessed" && this.fresh.delete(id)) this.proved(id, Date.now());
    const settled = proved === "witnessed" || proved === "anchored" || this.live(id).judged.decision?.clear === true;
    if (settled) await this.library.keepDossier(id, dossierText(news.dossier));
    return settled;
  }

  private async verify(
    id: string,
    answer: AnswerState,
    dossier: RawMembers,
    status: string,
    more: Partial<Live>,
  ): Promise<void> {
    const now = Date.now();
    const material = { dossier: dossierText(dossier), trust: this.trust, status, policy: this.policyOf(answer), now };
    const judged =
      this.trust === "" ? unjudged("There is no trust file, so nothing can be verified.") : await judge(material);
    this.set(id, { judged, judgedAt: now, checkedAt: this.live(id).checkedAt || now, dossier, ...more });
  }

  private set(id: string, members: Partial<Live>): void {
    this.known.set(id, { ...this.live(id), ...members });
    this.changed(id);
  }
}

/**
 * The marks with the times that this page saw itself, where it did: a cosignature carries whole seconds, and the gap from
 * the last byte is mostly shorter. Otherwise the receipt's own times.
 */
export function timedMarks(
  live: Live,
  answer: AnswerState | null,
): { readonly marks: MarksView; readonly answerAt: number } {
  const { marks } = live.judged;
  const finished = live.dossier === undefined ? 0 : numberAt(live.dossier, "receipt", "finished");
  if (answer === null || answer.arrivedAt === 0) return { marks, answerAt: finished };
  const seen = (mark: MarkView): MarkView => {
    if (mark.state === "claimed") return { ...mark, since: answer.arrivedAt };
    if (mark.state === "checked") return { ...mark, since: live.checkedAt };
    if (mark.state === "witnessed" && answer.provedAt > 0) return { ...mark, since: answer.provedAt };
    return mark;
  };
  const own = Object.fromEntries(
    QUESTIONS.map((question) => [question, seen(marks[question])]),
  ) as unknown as MarksView;
  return answer.provedAt > 0 || marks.proved.state === "absent"
    ? { marks: own, answerAt: answer.arrivedAt }
    : { marks, answerAt: finished };
}
