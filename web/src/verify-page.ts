// Entry of /verify: a file and a trust file in, seven marks out, all in this browser.
import { h } from "./chat/view/dom.ts";
import { renderMarks, wordOf } from "./marks/draw.ts";
import type { State } from "./marks/spec.ts";
import { compared } from "./opening/content.ts";
import { drawCompared, drawContent, drawProblem } from "./opening/drawing.ts";
import { fileField } from "./opening/field.ts";
import { readDossier, readTrust } from "./opening/reading.ts";
import { hex, sha256 } from "./verify/bytes.ts";
import { openReceipt, type Dossier } from "./verify/dossier.ts";
import { HallmarkError } from "./verify/errors.ts";
import { marksJSON, QUESTIONS } from "./verify/marks.ts";
import type { Trust } from "./verify/trust.ts";
import { verifyDossier } from "./verify/verify.ts";

/** A trust file, where it came from, and the digest of its bytes. */
interface Believed {
  readonly trust: Trust;
  readonly from: string;
  readonly sha256: string;
  readonly own: boolean;
}

function start(): void {
  const place = document.querySelector<HTMLElement>("[data-verify]");
  if (place === null) return;
  const status = h("p", { role: "status" });
  const result = h("div", { class: "verified" });
  const believedLine = h("p", { class: "notice notice-warn" }, NETWORKS_OWN);
  let dossier: Dossier | undefined;
  let own: Believed | undefined;
  const failed = (error: unknown): void => {
    status.textContent = "Nothing was derived.";
    result.replaceChildren(drawProblem(error));
  };
  const derive = async (): Promise<void> => {
    if (dossier === undefined) return;
    status.textContent = "Deriving the marks...";
    result.replaceChildren();
    const believed = own ?? (await networksOwn(place.dataset["trust"] ?? ""));
    result.replaceChildren(...derived(dossier, believed));
    status.textContent = "Derived in this browser from the file and the trust file. The file was sent nowhere.";
  };
  const whole = (work: () => Promise<void>): Promise<void> => work().catch(failed);
  place.replaceChildren(
    fileField({
      label: "1. The file: a saved receipt (.hallmark.json), or a PDF from the explorer",
      help: "It is read in this browser and sent nowhere.",
      accept: ".json,.pdf,application/json,application/pdf",
      pasted: "Use what was pasted as the file",
      take: (data) =>
        whole(async () => {
          dossier = undefined;
          dossier = await readDossier(data);
          await derive();
        }),
      failed: (sentence) => failed(new HallmarkError("bad_file", sentence)),
    }),
    fileField({
      label: "2. A trust file of your own (trust.toml, or its JSON form)",
      help: "From a party that you chose. Without one the network's own is used.",
      accept: ".toml,.json,application/json,application/toml,text/plain",
      pasted: "Use what was pasted as the trust file",
      take: (data, name) =>
        whole(async () => {
          own = undefined;
          believedLine.textContent = NETWORKS_OWN;
          own = { trust: readTrust(data), from: name, sha256: hex(sha256(data)), own: true };
          believedLine.textContent = `Your own trust file is used: ${name}, network ${own.trust.network}, SHA-256 ${own.sha256}.`;
          await derive();
        }),
      failed: (sentence) => failed(new HallmarkError("bad_file", sentence)),
    }),
    believedLine,
    status,
    result,
  );
}

const NETWORKS_OWN =
  "No trust file of your own was given: the network's own is used, from this server. Whoever serves this page could serve another one with it, so what follows is this network's word about itself.";

async function networksOwn(url: string): Promise<Believed> {
  const answer = await fetch(url, { cache: "no-store", credentials: "same-origin" });
  if (!answer.ok) throw new HallmarkError("not_answered", `The server answered ${answer.status} for the trust file.`, "Give a trust file of your own.");
  const data = new Uint8Array(await answer.arrayBuffer());
  return { trust: readTrust(data), from: "this server", sha256: hex(sha256(data)), own: false };
}

function derived(dossier: Dossier, believed: Believed): HTMLElement[] {
  const now = Date.now();
  const verified = verifyDossier(dossier, believed.trust, now);
  const marks = marksJSON(verified.marks);
  const words = QUESTIONS.map((question) => {
    const mark = marks[question];
    const word = [wordOf(question, mark.state as State), question === "ran" ? mark.assurance : "", question === "model" && mark.detail["asserted_by"] ? `asserted by ${mark.detail["asserted_by"]}` : ""];
    return h("div", {}, h("dt", {}, `${question}: ${word.filter(Boolean).join("; ")}`), h("dd", {}, `${mark.shows} ${mark.does_not_show}`, mark.reason !== "" && h("span", {}, " Reason: ", h("code", {}, mark.reason))));
  });
  const held = dossier.request !== null || dossier.response !== null;
  return [
    h("h2", {}, "Receipt"),
    h("p", {}, h("code", {}, verified.receiptId)),
    h("p", {}, `As of ${new Date(now).toISOString().replace("T", " ").slice(0, 19)} UTC by this browser's clock, under the trust file ${believed.own ? `${believed.from} (your own)` : "of this server"}, network ${believed.trust.network}, SHA-256 ${believed.sha256}.`),
    h("div", { class: "head-marks", "data-receipt": verified.receiptId }, renderMarks(marks, { answerAt: Number(verified.receipt.number("finished")), size: "large" })),
    h("p", { class: "small hm-legend" }, h("a", { href: "/marks" }, "What the marks mean")),
    h("dl", { class: "facts verified-words", "data-receipt": verified.receiptId }, ...words),
    h("p", { class: "quiet" }, "No chain was asked and no log was read: what came after the file was saved (an objection, a revocation) is not in it. hallmark verify --rpc asks a chain; the explorer shows how the receipt stands today."),
    ...(held ? [h("h2", {}, "Request and answer"), ...drawCompared(compared(dossier, openReceipt(dossier))), ...drawContent(dossier, "")] : [h("p", {}, "The file holds neither the request nor the answer: those are their owner's to add.")]),
  ];
}

start();
