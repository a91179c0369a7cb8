// "Open the saved receipt" on an item's page: a local file, compared with the item's receipt and shown here alone. Two things
// are fetched, the trust file and the item's public receipt, by addresses that say nothing of the file.
import { button, h } from "../chat/view/dom.ts";
import { compared, idOf } from "../opening/content.ts";
import { drawCompared, drawContent, drawProblem } from "../opening/drawing.ts";
import { fileField } from "../opening/field.ts";
import { readDossier, readTrust } from "../opening/reading.ts";
import { openReceipt, parseDossier } from "../verify/dossier.ts";
import { HallmarkError } from "../verify/errors.ts";
import { verifyDossier } from "../verify/verify.ts";

/** Readies the section of an item's page, if there is one. */
export function readyOpening(): void {
  const section = document.querySelector<HTMLElement>("[data-open-receipt]");
  if (section === null) return;
  const status = h("p", { role: "status" });
  const result = h("div", { class: "opened" });
  const suffix = section.dataset["held"] === undefined ? "" : " (HOLD)";
  const show = (...nodes: readonly Node[]): void => result.replaceChildren(...nodes);
  const take = async (data: Uint8Array<ArrayBuffer>): Promise<void> => {
    setOpen(false);
    show();
    status.textContent = "Reading the file here...";
    try {
      const { lines, content, wrong } = await opened(section, data, suffix);
      const open = lines.every((line) => line.same);
      const close = button("Close it", () => {
        setOpen(false);
        show();
        status.textContent = "Closed. A review signed now says that the answer was not open.";
      });
      const note = wrong === "" ? [] : [h("p", { class: "notice notice-bad" }, wrong)];
      show(...drawCompared(lines), ...note, ...(open ? [...content, close] : []));
      setOpen(open);
      status.textContent = open ? "The answer is open on this page, compared by this browser, and was sent nowhere." : "Not opened: see what differs.";
    } catch (error) {
      status.textContent = "Not opened.";
      show(drawProblem(error));
    }
  };
  section.append(
    fileField({
      label: "Saved receipt (.hallmark.json) with the request and the answer",
      help: "What the chat or hallmark ask --save wrote. It is read in this browser and sent nowhere.",
      accept: ".json,application/json",
      pasted: "Open what was pasted",
      take,
      failed: (sentence) => show(drawProblem(new HallmarkError("bad_file", sentence))),
    }),
    status,
    result,
  );
}

async function opened(section: HTMLElement, data: Uint8Array<ArrayBuffer>, suffix: string) {
  const dossier = await readDossier(data);
  const [trust, known] = await Promise.all([fetched(section.dataset["trust"]), fetched(section.dataset["dossier"])]);
  const item = parseDossier(known);
  if (idOf(item) !== section.dataset["receipt"]) throw new HallmarkError("other_receipt", "The server answered with another receipt than the item's.");
  const lines = compared(dossier, openReceipt(item));
  // What else does not hold is said, and hides nothing: an answer that failed is looked at as well.
  const { findings } = verifyDossier(dossier, readTrust(trust), Date.now());
  const failed = findings.filter((finding) => finding.state === "failed").map((finding) => `${finding.question}: ${finding.reason ?? ""}`);
  const wrong = failed.length ? `What this browser derives from the file fails in ${[...new Set(failed)].join(", ")}.` : "";
  return { lines, content: drawContent(dossier, suffix), wrong };
}

/** Which screen a review names: the one on which the answer was open, or the one on which it was not. */
function setOpen(open: boolean): void {
  document.querySelectorAll<HTMLElement>("form[data-screen-open]").forEach((form) => form.toggleAttribute("data-answer-open", open));
  document.querySelectorAll<HTMLInputElement>("input[name=screen]").forEach((input) => {
    input.dataset["screenClosed"] ??= input.value;
    input.value = (open ? input.dataset["screenOpen"] : input.dataset["screenClosed"]) ?? "";
  });
  document.querySelectorAll<HTMLElement>("[data-when-open]").forEach((line) => (line.hidden = !open));
  document.querySelectorAll<HTMLElement>("[data-when-closed]").forEach((line) => (line.hidden = open));
}

async function fetched(url: string | undefined): Promise<Uint8Array> {
  const answer = await fetch(url ?? "", { headers: { accept: "application/json" }, cache: "no-store", credentials: "same-origin" });
  if (!answer.ok) throw new HallmarkError("not_answered", `The server answered ${answer.status} for ${url}.`, "Load the page again.");
  return new Uint8Array(await answer.arrayBuffer());
}
