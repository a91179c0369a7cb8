// Light, dark, or as the system says. The choice is kept in this browser; it says nothing about anybody.
import { h, on } from "./dom.ts";

const NAME = "hallmark-theme";

/** The switch, which also applies what was chosen before. */
export function themeSwitch(): HTMLElement {
  const select = h(
    "select",
    { class: "c-field", id: "c-theme" },
    h("option", { value: "" }, "as the system"),
    h("option", { value: "light" }, "light"),
    h("option", { value: "dark" }, "dark"),
  );
  select.value = kept();
  apply(select.value);
  on(select, { change: () => (apply(select.value), keep(select.value)) });
  return h("label", { class: "c-theme", for: "c-theme" }, h("span", {}, "Theme"), select);
}

function apply(theme: string): void {
  if (theme === "") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme);
}

function kept(): string {
  try {
    const theme = localStorage.getItem(NAME) ?? "";
    return theme === "light" || theme === "dark" ? theme : "";
  } catch {
    return "";
  }
}

function keep(theme: string): void {
  try {
    localStorage.setItem(NAME, theme);
  } catch {
    // A browser that keeps nothing still shows what was chosen.
  }
}
