/** Which modes a receipt may have: by what confines its node, and by what its manifest says (core/modes.py). */
import type { Manifest } from "./documents.ts";

const [VANILLA, TEE] = [0n, 1n];
export const REPLAY = 2n;
const INTEGER_FORMATS: readonly string[] = ["integer-exact"];

/** Whether a proof of this mode is understood here. Any other is refused, whatever documents say. */
export function isUnderstood(mode: bigint): boolean {
  return isConfined(mode) || mode === REPLAY;
}

/** Whether it is a mode of a bundle: one that says what confines the node. */
export function isConfined(mode: bigint): boolean {
  return mode === VANILLA || mode === TEE;
}

/** Why no receipt of a node so confined has this mode; empty where it may have it. */
export function refusal(mode: bigint, confinement: bigint): string {
  if (!isUnderstood(mode) || !isConfined(confinement)) return "mode_not_supported";
  return isConfined(mode) && mode !== confinement ? "mode_mismatch" : "";
}

/** Why no receipt that names this manifest has this mode; empty where it may. Undefined: no manifest. */
export function artifactRefusal(mode: bigint, manifest: Manifest | undefined): string {
  if (!isUnderstood(mode)) return "mode_not_supported";
  if (isConfined(mode)) return "";
  return INTEGER_FORMATS.includes(manifest?.format ?? "") ? "" : "mode_not_of_artifact";
}
