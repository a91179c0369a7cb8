// What the embeddable component does between its tag and its drawing: fetch, verify, follow. No DOM here but `fetch`.
import { HallmarkError } from "../verify/errors.ts";
import { MEMBERS } from "../verify/dossier.ts";
import { marksJSON } from "../verify/marks.ts";
import { parseTrust } from "../verify/trust.ts";
import { verifyDossier } from "../verify/verify.ts";
import { rawMembers, rawObject, textAt } from "../chat/rawjson.ts";
import { readAgainst } from "./against.ts";
import { absentMarks, type MarksView, type Waiver } from "./draw.ts";

/** What is shown: marks, when the last byte left (unix ms, 0 unknown), the waiving policy, and a sentence. */
export interface Shown {
  readonly marks: MarksView;
  readonly answerAt: number;
  readonly policy: Waiver | undefined;
  readonly sentence: string;
}

/** What the embedding page may ask for: a receipt, a policy to read it by, and the one trust file that it accepts. */
export interface Wanted {
  readonly receipt: string;
  readonly policy: string;
  readonly trustSHA256: string;
}

/** A way to fetch text from the component's own origin. Throws when it is not there. */
export type Fetch = (path: string) => Promise<string>;

/** The sentence under verified marks: what was not looked at. */
export const WITHOUT_CONTENT = "request and answer not shown here";
/** What stands until something is verified. */
export const NOT_CHECKED = "not checked yet";
const OTHER_TRUST = "trust file differs from the one this page names";

/** What stands where nothing was verified. */
export function unshown(sentence: string): Shown {
  return { marks: absentMarks(), answerAt: 0, policy: undefined, sentence };
}

/** Whether a receipt attribute is an id at all. */
export function isReceiptId(text: string): boolean {
  return /^0x[0-9a-f]{64}$/.test(text);
}

/** The trust file's exact text, if it is the one that the page names. Throws HallmarkError `other_trust_file`. */
export async function fetchTrusted(fetchText: Fetch, sha256: string): Promise<string> {
  const text = await fetchText("/v1/hallmark/trust.json");
  if (sha256 === "") return text;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  const found = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== sha256.trim().toLowerCase().replace(/^0x/, ""))
    throw new HallmarkError("other_trust_file", OTHER_TRUST);
  return text;
}

/** Verifies the public dossier of a receipt as the gateway sent it. Throws HallmarkError. */
export function verifyPublic(text: string, trust: string, wanted: Wanted, now: number): Shown {
  const all = rawMembers(text);
  const names: readonly string[] = MEMBERS;
  const dossier = rawObject([...all].filter(([name]) => names.includes(name)));
  if (textAt(all, "id") !== wanted.receipt)
    throw new HallmarkError("other_receipt", "The gateway answered with another receipt.");
  const trusted = parseTrust(trust);
  const verified = verifyDossier(
    new TextEncoder().encode(dossier),
    trusted,
    now,
    readAgainst(all.get("status") ?? "[]"),
  );
  const finished = Number(verified.receipt.number("finished"));
  const policy = trusted.policy.find((one) => one.name === wanted.policy);
  if (wanted.policy !== "" && !policy)
    throw new HallmarkError("policy_unknown", "the policy attribute names no policy of the trust file");
  return { marks: marksJSON(verified.marks), answerAt: finished, policy, sentence: WITHOUT_CONTENT };
}

/** What an answer that is none says happened: the gateway's own words where it gave some. */
export function refusedBy(status: number, body: string): HallmarkError {
  if (status === 404) return new HallmarkError("no_such_receipt", "this gateway knows no receipt with this id");
  let said = "";
  try {
    const { error } = JSON.parse(body) as { readonly error?: { readonly message?: unknown } };
    if (typeof error?.message === "string") said = error.message.slice(0, 200);
  } catch {
    // Not the gateway's own words, then: the status stands alone.
  }
  return new HallmarkError("gateway_failed", `the gateway answered ${status}${said === "" ? "" : `: ${said}`}`);
}

/** Why nothing is shown, in a sentence. */
export function reasonOf(error: unknown): string {
  if (error instanceof HallmarkError)
    return error.reason === "other_trust_file" ? error.message : `not checked: ${error.message}`;
  return "not checked: the gateway cannot be reached";
}
