/** What the mode selector offers: the modes that a node can be asked for now, and none chosen unless somebody did. */

/** One line of the selector; the empty value asks for no mode. */
export interface ModeChoice {
  readonly value: string;
  readonly words: string;
}

/** The lines for a model's modes, "any" first; a mode that no node can be asked for now is no line. */
export function modeChoices(modes: readonly string[]): readonly ModeChoice[] {
  const any = modes.length === 0 ? "any" : `any of: ${modes.join(", ")}`;
  return [{ value: "", words: any }, ...modes.map((name) => ({ value: name, words: name }))];
}

/** The line that stands chosen: what was chosen before where it can still be asked for, otherwise none. */
export function chosenMode(modes: readonly string[], before: string): string {
  return modes.includes(before) ? before : "";
}
