// Elements in one line each. Text is always text: nothing here takes HTML.

type Child = Node | string | null | undefined | false;
type Handlers = { readonly [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };

/** An element with attributes (a value of true is an empty attribute, false leaves it out) and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string | boolean | undefined>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (typeof value === "string") element.setAttribute(name, value);
  }
  element.append(
    ...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** Adds listeners to an element and returns it. */
export function on<E extends HTMLElement>(element: E, handlers: Handlers): E {
  for (const [name, handler] of Object.entries(handlers)) element.addEventListener(name, handler as EventListener);
  return element;
}

/** A quiet text button. */
export function button(
  text: string,
  act: () => void,
  attributes: Readonly<Record<string, string | boolean | undefined>> = {},
): HTMLButtonElement {
  return on(h("button", { type: "button", class: "c-button", ...attributes }, text), { click: act });
}

/** Draws new children in place of the old; the focus stays on the control of the same name, HOLD or not, if there is one. */
export function redraw(element: HTMLElement, ...children: readonly Node[]): void {
  const active = element.ownerDocument.activeElement;
  const name = active !== null && element.contains(active) ? nameOf(active) : "";
  element.replaceChildren(...children);
  if (name === "") return;
  const found = [...element.querySelectorAll<HTMLElement>("button, a, [tabindex]")];
  (found.find((one) => nameOf(one) === name && !one.matches(":disabled")) ?? found.find((one) => !one.matches(":disabled")))?.focus({
    preventScroll: true,
  });
}

function nameOf(element: Element): string {
  return (element.getAttribute("aria-label") ?? element.textContent ?? "").replace(" (HOLD)", "");
}

/** Sets an element's text only when it differs, so that screen readers are not told twice. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Puts text on the clipboard; true when it arrived. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Hands a file to the person. */
export function saveFile(name: string, text: string, type = "application/json"): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A day and time of this device's clock, in the order that the other pages write it. */
export function momentOf(at: number): string {
  const date = new Date(at);
  const two = (number: number): string => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** A time of day as people write it here. */
export function clockOf(at: number): string {
  return new Date(at).toLocaleTimeString(undefined, { hour12: false });
}

/** An identifier shortened in the middle by style alone: what is selected and copied is all of it. */
export function identifier(id: string, href = ""): HTMLElement {
  const code = h(
    "code",
    { class: "id", title: id },
    ...(id.length <= 16 ? [id] : [id.slice(0, 8), h("span", { class: "id-middle" }, id.slice(8, -4)), id.slice(-4)]),
  );
  return href === "" ? code : h("a", { href }, code);
}
