// From a file that a person gives to a dossier or a trust file. Nothing here sends anything anywhere.
import { readUTF8 } from "../verify/bytes.ts";
import { parseDossier, type Dossier } from "../verify/dossier.ts";
import { HallmarkError, translated } from "../verify/errors.ts";
import { parseTrust, type Trust } from "../verify/trust.ts";
import { attachedDossier, isPDF } from "./pdf.ts";
import { fromTOML } from "./toml.ts";

const ANSWER = "Make one with `hallmark receipt --from request.json answer.json --save r.json`, or save it in the chat.";

/** The dossier in a `.hallmark.json` file or in a PDF of this network's pages. Raises HallmarkError. */
export async function readDossier(data: Uint8Array<ArrayBuffer>): Promise<Dossier> {
  const found = isPDF(data) ? await attachedDossier(data) : data;
  return translated(
    () => parseDossier(found),
    (error) => (isAnswer(found) ? new HallmarkError("answer_not_receipt", "This is an answer as it came, not a saved receipt.", ANSWER) : error),
  );
}

/** A trust file in either form. Raises `bad_trust_file`. */
export function readTrust(data: Uint8Array): Trust {
  const text = readUTF8(data);
  if (text === undefined) throw new HallmarkError("bad_trust_file", "This is not a trust file.", "It is not UTF-8 text.");
  return parseTrust(text.trimStart().startsWith("{") ? text : fromTOML(text));
}

function isAnswer(data: Uint8Array): boolean {
  const head = readUTF8(data.subarray(0, 6)) ?? "";
  if (head === "data: ") return true;
  try {
    return Array.isArray((JSON.parse(readUTF8(data) ?? "") as { choices?: unknown }).choices);
  } catch {
    return false;
  }
}
