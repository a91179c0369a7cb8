// Forms that need a signature. The key stays in this page; what leaves is a signed statement.
import { randomBytes } from "../chat/crypto.ts";
import { hex0x, ZERO32 } from "../verify/bytes.ts";
import { HallmarkError } from "../verify/errors.ts";
import { type KeyField, keyField } from "./keyfield.ts";
import { addressOf, type Challenge, reviewEntry, signInProof } from "./statements.ts";

/** Readies every form that is marked as one to sign. */
export async function readyForms(): Promise<void> {
  const makers = { review: sendReview, "sign-in": sendSignIn };
  for (const form of document.querySelectorAll<HTMLFormElement>("form[data-sign]")) {
    const send = makers[form.dataset["sign"] as keyof typeof makers];
    const place = form.querySelector("[data-key-place]");
    if (send === undefined || place === null) continue;
    const key = await keyField(place);
    form.querySelector<HTMLButtonElement>("[data-needs-script]")?.removeAttribute("disabled");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void once(form, () => send(form, key));
    });
  }
}

async function once(form: HTMLFormElement, work: () => Promise<void>): Promise<void> {
  const button = form.querySelector<HTMLButtonElement>("button[type=submit]");
  const problem = form.querySelector<HTMLElement>("[data-problem]");
  if (button?.disabled) return;
  if (button) button.disabled = true;
  if (problem) problem.hidden = true;
  try {
    await work();
  } catch (error) {
    if (problem) {
      problem.textContent = error instanceof HallmarkError ? `${error.message} ${error.hint}` : `It did not work: ${error instanceof Error ? error.message : String(error)}`;
      problem.hidden = false;
    }
  } finally {
    if (button) button.disabled = false;
  }
}

async function sendReview(form: HTMLFormElement, key: KeyField): Promise<void> {
  const data = form.dataset;
  const given = new FormData(form);
  const text = (name: string): string => String(given.get(name) ?? "").replaceAll("\r\n", "\n");
  const secret = await key.secret();
  const mine = hex0x(addressOf(secret));
  if (mine !== data["reviewer"]) {
    throw new HallmarkError("other_key", `This is the key of ${mine}, and you are signed in as ${data["reviewer"]}.`, "Use the key that you signed in with.");
  }
  const [comment, internal] = [text("comment"), text("internal")];
  const salt = comment === "" && internal === "" ? ZERO32 : randomBytes(32);
  const fields = {
    network: data["network"] ?? "",
    item: data["receipt"] ?? "",
    subject: Number(data["subject"]),
    judgement: Number(text("judgement")),
    reason: text("reason"),
    policy: data["policy"] ?? "",
    screen: (data["answerOpen"] === undefined ? data["screen"] : data["screenOpen"]) ?? "",
    at: Date.now(),
  };
  const entry = reviewEntry(fields, { comment, internal, salt }, BigInt(data["chain"] ?? "0"), secret);
  const body = new URLSearchParams({ csrf: text("csrf"), entry: hex0x(entry), salt: hex0x(salt), comment, internal });
  const answer = await fetch(form.action, { method: "POST", headers: { accept: "application/json" }, body });
  if (!answer.ok) throw await changedSince(await refusal(answer), answer.status, fields.item, Number(data["now"]));
  location.assign(`/review/${encodeURIComponent(fields.item)}`);
}

/** A refusal because the item moved on, with what happened to it since the page was made; the form keeps what was typed. */
async function changedSince(error: HallmarkError, status: number, item: string, seen: number): Promise<HallmarkError> {
  if (status !== 409) return error;
  const answer = await fetch(`/review/${encodeURIComponent(item)}.json`, { headers: { accept: "application/json" } }).catch(() => undefined);
  const page = (answer?.ok ? await answer.json().catch(() => undefined) : undefined) as { timeline?: { at: number; text: string }[]; row?: { state: string } } | undefined;
  const happened = (page?.timeline ?? []).filter((moment) => moment.at > seen).map((moment) => moment.text);
  const told = happened.length ? `Since you opened the page: ${happened.join(" ")}` : "Nothing else happened to the item since you opened the page.";
  return new HallmarkError(error.reason, error.message, `${error.hint} Nothing that you typed is lost. The item is ${page?.row?.state ?? "not shown"} now. ${told}`.trim());
}

async function sendSignIn(form: HTMLFormElement, key: KeyField): Promise<void> {
  const secret = await key.secret();
  const answer = await fetch("/sign-in.json", { headers: { accept: "application/json" } });
  if (!answer.ok) throw await refusal(answer);
  const { challenge } = (await answer.json()) as { readonly challenge: Challenge };
  const proof = form.querySelector<HTMLInputElement>("input[name=proof]");
  if (proof === null) return;
  proof.value = signInProof(challenge, location.origin, secret);
  form.submit();
}

async function refusal(answer: Response): Promise<HallmarkError> {
  const told: unknown = await answer.json().catch(() => undefined);
  const error = (told as { error?: { code?: unknown; message?: unknown; hint?: unknown } } | undefined)?.error;
  const [said, hint] = [String(error?.message ?? `The desk answered ${answer.status}.`), String(error?.hint ?? "")];
  // The hint stands in the message as well, for programs that show nothing else.
  const message = said.endsWith(hint) ? said.slice(0, said.length - hint.length).trimEnd() : said;
  return new HallmarkError(String(error?.code ?? "refused"), message, hint);
}
