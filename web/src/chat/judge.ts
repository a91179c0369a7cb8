// The verifier behind one call. It runs in a worker, so that a large answer does not stop the page; the worker's script is
// this page's own bundle, loaded a second time.
import { absentMarks, type MarksView } from "../marks/draw.ts";
import type { Decided } from "./gate.ts";
import { judgeHere, type Material } from "./verifying.ts";

/** What verifying gave. `problem` says why nothing could be verified; the marks are then all absent. */
export interface Judged {
  readonly marks: MarksView;
  readonly decision: Decided | null;
  readonly problem: string;
}

type Waiting = (judged: Judged) => void;

const waiting = new Map<number, Waiting>();
let worker: Worker | null | undefined;
let asked = 0;

/** Verifies a dossier; never throws: what cannot be verified gives absent marks and says why. */
export function judge(material: Material): Promise<Judged> {
  worker ??= startWorker();
  if (worker === null) return Promise.resolve().then(() => guarded(material));
  const id = (asked += 1);
  const answer = new Promise<Judged>((resolve) => waiting.set(id, resolve));
  worker.postMessage({ id, material });
  return answer;
}

/** The other side: answers every message with what `judgeHere` says. Called where there is no document. */
export function serveVerifier(): void {
  const scope = globalThis as unknown as {
    postMessage(message: unknown): void;
    onmessage: (event: MessageEvent) => void;
  };
  scope.onmessage = ({ data }: MessageEvent<{ id: number; material: Material }>) => {
    scope.postMessage({ id: data.id, judged: guarded(data.material) });
  };
}

/** Marks of nothing, with the reason. */
export function unjudged(problem: string): Judged {
  return { marks: absentMarks(), decision: null, problem };
}

function guarded(material: Material): Judged {
  try {
    return judgeHere(material);
  } catch (error) {
    return unjudged(error instanceof Error ? error.message : String(error));
  }
}

function startWorker(): Worker | null {
  try {
    const made = new Worker(import.meta.url, { type: "module", name: "hallmark-verifier" });
    made.onmessage = ({ data }: MessageEvent<{ id: number; judged: Judged }>) => {
      waiting.get(data.id)?.(data.judged);
      waiting.delete(data.id);
    };
    made.onerror = () => {
      // Whoever waits is told; later questions are answered in this thread.
      for (const resolve of waiting.values()) resolve(unjudged("The verifier of this page could not be started."));
      waiting.clear();
      worker = null;
    };
    return made;
  } catch {
    return null;
  }
}
