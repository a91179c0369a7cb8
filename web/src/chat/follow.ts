// Following a receipt until a quorum witnessed it: asking the gateway for proofs, which are then verified here.
import { Failed } from "./api.ts";
import { grown, readNews } from "./dossier.ts";
import type { RawMembers } from "./rawjson.ts";
import { pause, visible } from "../waiting.ts";

/** How often it asks, and how long each question may wait at the gateway (ms). */
const ROUNDS = 90;
const WAIT = 20_000;
const PAUSE = [250, 1_000, 3_000, 10_000] as const;
/** A fresh receipt of a sealed answer comes to the gateway by the log alone: it is asked about so often at first. */
const [SOON, FIRST] = [1_000, 15] as const;

/** What a round brought; no dossier while nothing is known but the id. `note` says in words why there is nothing new. */
export interface Step {
  readonly dossier: RawMembers | undefined;
  readonly status: string;
  readonly stage: string;
  readonly note: string;
}

/** Asks for the news of a receipt: text, after waiting at most `timeout` ms. Plainly, or through the relay. */
export type FetchNews = (id: string, timeout: number, signal: AbortSignal) => Promise<string>;

/**
 * Asks until `step` returns true (nothing more to wait for), the signal aborts, or the rounds are used up. While the page
 * is hidden it waits. Only a fresh answer's questions wait at the gateway: a browser has few connections to one host.
 */
export async function follow(
  id: string,
  mine: RawMembers | undefined,
  fresh: boolean,
  { signal, fetchNews }: { readonly signal: AbortSignal; readonly fetchNews: FetchNews },
  step: (news: Step) => Promise<boolean>,
): Promise<void> {
  let dossier = mine;
  let status = "[]";
  for (let round = 0; round < ROUNDS && !signal.aborted; round += 1) {
    await visible(signal);
    const began = Date.now();
    try {
      const news = readNews(await fetchNews(id, fresh ? WAIT : 0, signal));
      dossier = dossier === undefined ? news.dossier : grown(dossier, news.dossier);
      status = news.status;
      if (await step({ dossier, status, stage: news.stage, note: news.reason })) return;
      if (news.stage === "refused") return;
    } catch (error) {
      if (signal.aborted) return;
      const note =
        error instanceof Failed ? error.trouble.message : error instanceof Error ? error.message : String(error);
      await step({ dossier, status, stage: "", note });
    }
    // The gateway holds a question that waits; one that it answers at once is not repeated without a pause.
    if (Date.now() - began < 1_000) await pause(pauseOf(round, fresh), signal);
  }
}

function pauseOf(round: number, fresh: boolean): number {
  const usual = PAUSE[Math.min(round, PAUSE.length - 1)] ?? 10_000;
  return fresh && round < FIRST ? Math.min(usual, SOON) : usual;
}
