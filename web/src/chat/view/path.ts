// The switch beside the model: which path the next question takes, and what each party sees on it.
import { pathSentence, whoSees, type Circumstances } from "../seen.ts";
import type { Path } from "../tree.ts";
import { h, on, setText } from "./dom.ts";

/** What the switch shows. `why`: why nothing can be sealed now, "" when it can. `left`: something above was asked sealed. */
export interface PathState {
  readonly path: Path;
  readonly why: string;
  readonly left: boolean;
  readonly at: Circumstances;
}

const LEFT = "What was asked sealed above is left out of what is sent now; asking it again or editing it is sealed in any case.";

/** See the head of this file. */
export class PathSwitch {
  /** Beside the model. */
  readonly field = h("select", { class: "c-field", id: "c-path", "aria-describedby": "c-path-says c-path-why" });
  /** Below the choices. */
  readonly element: HTMLElement;
  private readonly plain = h("option", { value: "plain" }, "plain");
  private readonly sealed = h("option", { value: "sealed" }, "through a relay");
  private readonly says = h("p", { class: "c-path", id: "c-path-says", role: "status" });
  private readonly why = h("p", { class: "c-about", id: "c-path-why" });
  private readonly rows = h("tbody");
  private drawn = "";

  /** `changed` is told what a person chose, `look` when somebody is about to. */
  constructor(changed: (path: Path) => void, look: () => void) {
    this.field.append(this.plain, this.sealed);
    on<HTMLElement>(this.field, {
      change: () => changed(this.field.value === "sealed" ? "sealed" : "plain"),
      focus: look,
    });
    const head = h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Party"), h("th", { scope: "col" }, "Sees of the next question")));
    this.element = h(
      "div",
      {},
      this.says,
      this.why,
      h("details", { class: "c-menu" }, h("summary", {}, "Who sees what on this path"), h("div", { class: "c-wide" }, h("table", { class: "c-seen" }, head, this.rows))),
    );
  }

  /** Draws what is chosen and what it means. */
  update({ path, why, left, at }: PathState): void {
    const key = JSON.stringify([path, why, left, at]);
    if (key === this.drawn) return;
    this.drawn = key;
    this.sealed.disabled = why !== "" && path !== "sealed";
    setText(this.sealed, path === "sealed" ? "sealed, by a relay" : "through a relay");
    this.field.value = path;
    this.says.setAttribute("data-path", path);
    setText(this.says, pathSentence(path, at));
    const blocked = path === "sealed" ? `Nothing can be sent on this path now, and nothing is sent on another. ${why}` : `Through a relay is not possible here: ${why}`;
    setText(this.why, [why === "" ? "" : blocked, left && path === "plain" ? LEFT : ""].filter(Boolean).join(" "));
    this.why.hidden = this.why.textContent === "";
    this.rows.replaceChildren(...whoSees(path, at).map(([party, sees]) => h("tr", {}, h("th", { scope: "row" }, party), h("td", {}, sees))));
  }
}
