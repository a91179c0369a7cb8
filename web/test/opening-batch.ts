// What the pages make of files that Python wrote, in one process: node opening-batch.ts FILE. Writes a JSON list of texts.
import { readFileSync, writeSync } from "node:fs";
import { compared } from "../src/opening/content.ts";
import { attachedDossier } from "../src/opening/pdf.ts";
import { readDossier, readTrust } from "../src/opening/reading.ts";
import { fromTOML } from "../src/opening/toml.ts";
import { readBase64 } from "../src/verify/bytes.ts";
import { openReceipt } from "../src/verify/dossier.ts";
import { HallmarkError } from "../src/verify/errors.ts";

interface Asked {
  readonly kind: "pdf" | "file" | "toml" | "trust" | "compare";
  readonly data: string;
  readonly item?: string;
}

const bytes = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(readBase64(text) ?? []);
const done: Readonly<Record<Asked["kind"], (asked: Asked) => Promise<string>>> = {
  pdf: async ({ data }) => Buffer.from(await attachedDossier(bytes(data))).toString("base64"),
  file: async ({ data }) => (await readDossier(bytes(data))).id,
  toml: async ({ data }) => fromTOML(Buffer.from(bytes(data)).toString("utf8")),
  trust: async ({ data }) => readTrust(bytes(data)).network,
  compare: async ({ data, item }) => {
    const lines = compared(await readDossier(bytes(data)), openReceipt(await readDossier(bytes(item ?? ""))));
    return lines.map((line) => (line.same ? line.name : `NOT ${line.sentence}`)).join("\n");
  },
};

const told: string[] = [];
for (const asked of JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as Asked[]) {
  try {
    told.push(await done[asked.kind](asked));
  } catch (error) {
    if (!(error instanceof HallmarkError)) throw error;
    told.push(`refused ${error.reason}`);
  }
}
writeSync(1, JSON.stringify(told));
