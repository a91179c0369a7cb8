// Notices that stand until a person has dealt with them: another trust file, and what went wrong with what is kept.
import { differences, type TrustState } from "../trust.ts";
import { button, h, momentOf } from "./dom.ts";

/** The trust file in words: its digest, since when, and that this page came from the same server. */
export function trustNote(state: TrustState): HTMLElement {
  const { pin, first } = state;
  const when = first
    ? "just now, on first use"
    : `since ${momentOf(pin.at)}`;
  return h(
    "p",
    { class: "c-trust" },
    "Trust file ",
    h("code", { title: pin.sha256 }, `${pin.sha256.slice(0, 8)}\u2026${pin.sha256.slice(-6)}`),
    ` pinned ${when}. Compare it with one from somebody you have reason to believe. This page's script came from this same server, so whoever controls the server can change what the page says.`,
  );
}

/** The warning that the server gives another trust file now. */
export function trustWarning(state: TrustState, accept: () => void): HTMLElement | undefined {
  const { pin, offered } = state;
  if (offered === undefined) return undefined;
  const changed = differences(pin.text, offered.text).join(", ") || "nothing that can be named";
  return h(
    "div",
    { class: "c-notice", role: "alert" },
    h("p", {}, h("strong", {}, "This server now gives another trust file.")),
    h(
      "p",
      {},
      `This page goes on with the pinned one (${pin.sha256.slice(0, 12)}..). The other (${offered.sha256.slice(0, 12)}..) differs in: ${changed}. A network changes its trust file when it accepts or revokes code or keys; so does somebody who wants to deceive you. Compare before you pin it.`,
    ),
    h("p", {}, h("code", { class: "c-digest" }, offered.sha256)),
    button("Pin the other trust file", accept),
  );
}

/** A plain notice. */
export function notice(text: string, ...controls: HTMLElement[]): HTMLElement {
  return h("div", { class: "c-notice", role: "status" }, h("p", {}, text), ...controls);
}
