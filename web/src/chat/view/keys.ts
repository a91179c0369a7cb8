// The keys that work anywhere on the page: / writes, ? helps, Escape stops.
import { showHelp } from "./dialogs.ts";

/** What keys do. */
export interface Keys {
  readonly write: () => void;
  readonly stop: () => void;
}

/** Acts on a key that was pressed outside of dialogs; in a field only Escape does something. */
export function pressed(event: KeyboardEvent, keys: Keys): void {
  if (event.isComposing || document.querySelector("dialog[open]") !== null) return;
  if (event.key === "Escape" && !event.repeat) keys.stop();
  const writing = event.target instanceof Element && event.target.matches("input, textarea, select");
  if (writing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") (event.preventDefault(), keys.write());
  if (event.key === "?") (event.preventDefault(), showHelp());
}
