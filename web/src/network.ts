/** Shows the network page anew while it is open: part by part, without losing place, focus or what is unfolded. Without it the page reloads itself. */

const PART = "[data-part]";
const STOPS = "a[href], button, summary, [tabindex]";

const main = document.querySelector<HTMLElement>("[data-every]");
const every = Number(main?.dataset["every"] ?? 0);

/** Whether somebody is in the middle of something that a new page would take away. */
function busy(): boolean {
  const chosen = document.getSelection();
  return document.hidden || (chosen !== null && !chosen.isCollapsed);
}

/** Put the new part in the old one's place, as unfolded as that was, with the focus where it stood. */
function replace(old: Element, made: Element): void {
  if (old.innerHTML === made.innerHTML) return;
  const open = [...old.querySelectorAll("details")].map((one) => one.open);
  const focused = [...old.querySelectorAll(STOPS)].indexOf(document.activeElement as Element);
  const scrolled = [...old.querySelectorAll(".wide")].map((one) => one.scrollLeft);
  const fresh = document.importNode(made, true);
  fresh.querySelectorAll("details").forEach((one, number) => { one.open = open[number] ?? false; });
  old.replaceWith(fresh);
  fresh.querySelectorAll(".wide").forEach((one, number) => { one.scrollLeft = scrolled[number] ?? 0; });
  if (focused >= 0) fresh.querySelectorAll<HTMLElement>(STOPS)[focused]?.focus({ preventScroll: true });
}

/** A reader of the screen hears of it only when who is ready changes, not of every number. */
function tell(made: Document): void {
  const [now, then] = [made, document].map((one) => one.querySelector("[data-trouble]"));
  if (now && then && now.textContent !== then.textContent) then.textContent = now.textContent;
}

async function renew(): Promise<void> {
  if (busy()) return;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const made = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (busy()) return;
    for (const part of document.querySelectorAll<HTMLElement>(PART)) {
      const found = made.querySelector(`[data-part="${CSS.escape(part.dataset["part"] ?? "")}"]`);
      if (found) replace(part, found);
    }
    tell(made);
    document.querySelector("[data-lost]")?.setAttribute("hidden", "");
  } catch {
    // What is shown is what was known then; the line says so.
    document.querySelector("[data-lost]")?.removeAttribute("hidden");
  }
}

if (every > 0) setInterval(() => void renew(), every * 1000);
