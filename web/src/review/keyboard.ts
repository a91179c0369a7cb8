// The queue by keyboard: single keys move, open, pick, filter. They never act while somebody types, and can be switched off
// (WCAG 2.2, 2.1.4).

const OFF = "hallmark-review-keys-off";

/** Listens for keys on this page and readies the list of keys. */
export function readyKeyboard(): void {
  const dialog = readyDialog();
  const rows = [...document.querySelectorAll<HTMLElement>("tr[data-item]")];
  rows.forEach((row) => {
    reach(row, false);
    row.addEventListener("focusin", () => reach(row, true));
    row.addEventListener("focusout", (event) => {
      if (!row.contains(event.relatedTarget as Node | null)) reach(row, false);
    });
  });
  const acts: Readonly<Record<string, () => boolean>> = {
    j: () => move(rows, 1),
    k: () => move(rows, -1),
    x: () => pick(rows),
    r: () => toReview(rows),
    "/": () => focus(document.querySelector<HTMLElement>("[data-filter]")),
    "?": () => show(dialog),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    if (typing(event.target) || dialog?.open || (off() && event.key !== "?")) return;
    if (acts[event.key]?.()) event.preventDefault();
  });
}

// Seven marks a row would be seven stops a row for whoever tabs; only those of the row in hand are stops.
function reach(row: HTMLElement, current: boolean): void {
  for (const mark of row.querySelectorAll(".hm-mark")) mark.setAttribute("tabindex", current ? "0" : "-1");
}

function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  const toggle = target instanceof HTMLInputElement && ["checkbox", "radio"].includes(target.type);
  return !toggle && (target.isContentEditable || target.closest("input, textarea, select") !== null);
}

function at(rows: readonly HTMLElement[]): number {
  return rows.findIndex((row) => row.contains(document.activeElement));
}

function link(row: HTMLElement | undefined): HTMLAnchorElement | null {
  return row?.querySelector<HTMLAnchorElement>("a.item-link") ?? null;
}

function focus(element: HTMLElement | null): boolean {
  element?.focus();
  element?.scrollIntoView({ block: "nearest" });
  return element !== null;
}

function move(rows: readonly HTMLElement[], step: number): boolean {
  const here = at(rows);
  const next = here < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(here + step, 0), rows.length - 1);
  return focus(link(rows[next]));
}

function pick(rows: readonly HTMLElement[]): boolean {
  const box = rows[at(rows)]?.querySelector<HTMLInputElement>("input[type=checkbox]");
  if (!box) return false;
  if (box.disabled) say("Choose one reason first: an act on many is for items held for the same reason.");
  else box.click();
  if (!box.disabled) say(box.checked ? "Picked." : "Not picked.");
  return true;
}

function toReview(rows: readonly HTMLElement[]): boolean {
  const form = document.querySelector<HTMLDetailsElement>("details#review");
  if (form) {
    form.open = true;
    return focus(form.querySelector<HTMLElement>("input[name=judgement]") ?? form.querySelector("summary"));
  }
  const item = link(rows[at(rows)]);
  if (item) location.assign(`${item.href}#review`);
  return item !== null;
}

function say(words: string): void {
  const made = document.createElement("p");
  made.className = "hidden";
  made.setAttribute("role", "status");
  const line = document.querySelector("#key-status") ?? document.querySelector("main")?.appendChild(made) ?? made;
  line.id = "key-status";
  line.textContent = words;
}

function off(): boolean {
  try {
    return localStorage.getItem(OFF) === "1";
  } catch {
    return false;
  }
}

function readyDialog(): HTMLDialogElement | null {
  const template = document.querySelector<HTMLTemplateElement>("#keys-template");
  const dialog = template?.content.querySelector("dialog");
  if (!dialog) return null;
  document.body.append(dialog);
  const box = dialog.querySelector<HTMLInputElement>("[data-keys-on]");
  if (box) {
    box.checked = !off();
    box.addEventListener("change", () => {
      try {
        if (box.checked) localStorage.removeItem(OFF);
        else localStorage.setItem(OFF, "1");
      } catch {
        say("This browser keeps nothing here, so the choice lasts for this page alone.");
      }
    });
  }
  document.querySelectorAll<HTMLElement>("[data-show-keys]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => show(dialog));
  });
  return dialog;
}

function show(dialog: HTMLDialogElement | null): boolean {
  dialog?.showModal();
  return dialog !== null;
}
