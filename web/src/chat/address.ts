// The address of a conversation: /chat#c=<id>. What follows # stays in this browser: no server ever gets it.

const FORM = /^#c=([A-Za-z0-9-]{1,64})$/;

/** What the address asks for: a conversation's id, "" for none, undefined for something that is no conversation's address. */
export function asked(hash: string): string | undefined {
  if (hash === "" || hash === "#") return "";
  return FORM.exec(hash)?.[1];
}

/** Writes the shown conversation into the address. `turned`: a person went there, so that back leads to where they were. */
export function write(id: string, turned: boolean): void {
  const to = id === "" ? location.pathname + location.search : `#c=${id}`;
  if (asked(location.hash) === id) return;
  if (turned) history.pushState(null, "", to);
  else history.replaceState(null, "", to);
}
