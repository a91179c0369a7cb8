/** Which modes a receipt may have: by what confines its node, and by what its manifest says (core/modes.py). */
import type { Manifest } from "./documents.ts";

const [VANILLA, TEE, ZKML] = [0n, 1n, 3n];
export const REPLAY = 2n;
const INTEGER_FORMATS: readonly string[] = ["integer-exact"];

/** Whether there is such a mode. */
export function isMode(mode: bigint): boolean {
  return mode >= VANILLA && mode <= ZKML;
}

/** Whether it is a mode of a bundle: one that says what confines the node. */
export function isConfined(mode: bigint): boolean {
  return mode === VANILLA || mode === TEE;
}

/** Why no receipt of a node so confined has this mode; empty where it may have it. */
export function refusal(mode: bigint, confinement: bigint): string {
  if (!isMode(mode) || !isConfined(confinement)) return "mode_not_supported";
  return isConfined(mode) && mode !== confinement ? "mode_mismatch" : "";
}

/** Why no receipt that names this manifest has this mode; empty where it may. Undefined: no manifest. */
export function artifactRefusal(mode: bigint, manifest: Manifest | undefined): string {
  if (!isMode(mode)) return "mode_not_supported";
  if (isConfined(mode)) return "";
  const allowed =
    mode === REPLAY ? INTEGER_FORMATS.includes(manifest?.format ?? "") : manifest?.circuit !== undefined;
  return allowed ? "" : "mode_not_of_artifact";
}
