// Entry of the explorer's pages: buttons that derive again, in this browser, what the server says. Nothing here is needed to read.
import { renderMarks } from "./marks/draw.ts";
import { hex0x } from "./verify/bytes.ts";
import { compareMarks, type Shown, type Standing } from "./verify/compare.ts";
import { parseDossier } from "./verify/dossier.ts";
import { HallmarkError } from "./verify/errors.ts";
import { differences, splitBundle, Tally, type Figures } from "./verify/figures.ts";
import { marksJSON, QUESTIONS, type Question } from "./verify/marks.ts";
import { Peaks } from "./verify/tree.ts";
import { parseTrust } from "./verify/trust.ts";
import { verifyDossier } from "./verify/verify.ts";

const STEP = 1024;
const TRUST = "/v1/hallmark/trust.json";
const MAX_ANSWER = 64 << 20;

type Report = (text: string) => void;

/** Gives every recomputable part of the page its button. */
function start(): void {
  offer("[data-recompute]", "Recompute here", recomputeMarks);
  offer("[data-recompute-root]", "Recompute the root here", recomputeRoot);
  offer("[data-recompute-figures]", "Recompute the figures here", recomputeFigures);
}

function offer(selector: string, label: string, work: (section: HTMLElement, report: Report) => Promise<Node[]>): void {
  for (const section of document.querySelectorAll<HTMLElement>(selector)) {
    const button = element("button", label);
    const status = element("p", "");
    const result = document.createElement("div");
    button.setAttribute("type", "button");
    button.className = "button";
    status.setAttribute("role", "status");
    button.addEventListener("click", () => void run());
    section.append(button, status, result);
    const run = async (): Promise<void> => {
      button.setAttribute("disabled", "");
      result.replaceChildren();
      try {
        const found = await work(section, (text) => (status.textContent = text));
        status.textContent = "";
        result.replaceChildren(...found);
      } catch (error) {
        status.textContent = "";
        result.replaceChildren(wrong([`This browser could not recompute it: ${reasonOf(error)}`]));
      } finally {
        button.removeAttribute("disabled");
        section.setAttribute("data-recomputed", "");
      }
    };
  }
}

/** Derives the seven marks from the dossier's bytes and the trust file, and sets them beside the server's. */
async function recomputeMarks(section: HTMLElement, report: Report): Promise<Node[]> {
  report("Fetching the receipt and the trust file...");
  const [bytes, trust] = await Promise.all([fetched(section.dataset["dossier"]), fetched(section.dataset["trust"] ?? TRUST)]);
  report("Deriving the marks...");
  await pause();
  const begun = performance.now();
  const [dossier, trusted] = [parseDossier(bytes), parseTrust(trust)];
  const verified = verifyDossier(dossier, trusted, Date.now());
  const took = Math.max(1, Math.round(performance.now() - begun));
  const marks = marksJSON(verified.marks);
  const lines = compareMarks(serverMarks(), marks);
  const of = (...standings: Standing[]): string[] => lines.filter((line) => standings.includes(line.standing)).map((line) => line.sentence);
  const apart = of("apart");
  const asked = section.dataset["receipt"];
  if (asked && asked !== verified.receiptId) apart.unshift(`The file is of another receipt: ${verified.receiptId}.`);
  const other = of("less", "more");
  const about = element("p", `Derived in this browser in ${took} ms from ${bytes.length} bytes and the trust file of network ${trusted.network}. No chain was asked, and nobody's word was taken.`);
  const row = renderMarks(marks, { answerAt: Number(verified.receipt.number("finished")), size: "large" });
  const legend = element("p", "");
  legend.append(legendLink());
  return [...(apart.length ? [wrong(["The server and this browser disagree.", ...apart])] : []), row, legend, ...heights(other), ...list(of("same")), about];
}

/** The way to what the shapes and states of a row mean. */
function legendLink(): HTMLAnchorElement {
  const link = document.createElement("a");
  link.href = "/marks";
  link.textContent = "What the marks mean";
  return link;
}

/** What one of the two could say and the other could not: no contradiction, and said apart from one. */
function heights(sentences: readonly string[]): HTMLElement[] {
  if (!sentences.length) return [];
  return [element("p", "Neither contradicts the other here; one of the two had more to go by:"), ...list(sentences)];
}

/** The server's marks as they stand on the page. */
function serverMarks(): Partial<Record<Question, Shown>> {
  const found: Partial<Record<Question, Shown>> = {};
  const row = document.querySelector(".hm-marks");
  for (const question of QUESTIONS) {
    const mark = row?.querySelector(`[data-question="${question}"]`);
    const state = mark?.getAttribute("data-state");
    // Assurance is drawn for `ran` alone; only there can it be compared.
    if (mark && state) found[question] = { state, assurance: mark.getAttribute("data-assurance") ?? "" };
  }
  return found;
}

/** Hashes all leaves below a checkpoint and compares the root. */
async function recomputeRoot(section: HTMLElement, report: Report): Promise<Node[]> {
  const [size, root] = [Number(section.dataset["size"]), section.dataset["root"] ?? ""];
  const tree = new Peaks();
  await eachLeaf(section, size, report, (leaf) => tree.append(leaf));
  const found = hex0x(tree.root());
  if (found !== root) return [wrong([`The leaves do not give this root. The page says ${root}, the ${size} leaves hash to ${found}.`])];
  return [element("p", `The ${size} leaves that the server gave hash to this root: ${found}.`)];
}

/** Counts all leaves again and compares every figure and the root. */
async function recomputeFigures(section: HTMLElement, report: Report): Promise<Node[]> {
  report("Fetching the figures and the trust file...");
  const [text, trust] = await Promise.all([fetched(section.dataset["src"]), fetched(section.dataset["trust"] ?? TRUST)]);
  const theirs = JSON.parse(new TextDecoder().decode(text)) as Figures;
  const tally = new Tally(parseTrust(trust).chain_id);
  await eachLeaf(section, theirs.size, report, (leaf) => tally.add(leaf));
  const apart = differences(theirs, tally.figures());
  if (apart.length) return [wrong(["The server and this browser disagree.", ...apart])];
  return [element("p", `Every figure follows from the ${theirs.size} leaves, which hash to ${theirs.root}.`)];
}

async function eachLeaf(section: HTMLElement, size: number, report: Report, take: (leaf: Uint8Array) => void): Promise<void> {
  const from = section.dataset["leaves"] ?? "/explore/leaves";
  if (!Number.isSafeInteger(size) || size < 0) throw new HallmarkError("bad_size", "The page names no size.");
  for (let at = 0; at < size; at += STEP) {
    const end = Math.min(at + STEP, size);
    const leaves = splitBundle(await fetched(`${from}?start=${at}&end=${end}`));
    if (leaves.length !== end - at) throw new HallmarkError("bad_bundle", "The server gave another number of leaves.");
    let since = performance.now();
    for (const leaf of leaves) {
      take(leaf);
      if (performance.now() - since < 30) continue;
      await pause();
      since = performance.now();
    }
    report(`${end} of ${size} leaves read.`);
  }
}

async function fetched(url: string | undefined): Promise<Uint8Array> {
  if (!url) throw new HallmarkError("no_address", "The page does not say where the bytes are.");
  const answer = await fetch(url, { headers: { accept: "application/json, application/octet-stream" }, cache: "no-store", credentials: "same-origin" });
  if (!answer.ok) throw new HallmarkError("not_answered", `The server answered ${answer.status} for ${url}.`);
  const data = new Uint8Array(await answer.arrayBuffer());
  if (data.length > MAX_ANSWER) throw new HallmarkError("too_large", "The answer is too large.");
  return data;
}

function reasonOf(error: unknown): string {
  if (error instanceof HallmarkError) return [error.message, error.hint].filter(Boolean).join(" ");
  return error instanceof Error ? error.message : String(error);
}

function wrong(sentences: readonly string[]): HTMLElement {
  const box = document.createElement("div");
  box.className = "x-bad";
  box.setAttribute("role", "alert");
  box.append(...sentences.map((sentence) => element("p", sentence)));
  return box;
}

function list(sentences: readonly string[]): HTMLElement[] {
  if (!sentences.length) return [];
  const found = document.createElement("ul");
  found.append(...sentences.map((sentence) => element("li", sentence)));
  return [found];
}

function element(tag: string, text: string): HTMLElement {
  const found = document.createElement(tag);
  found.textContent = text;
  return found;
}

/** Lets the page draw. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

start();
