// What the next question is asked of: model, mode, policy, and the rest of the conversation's settings.
import type { Model } from "../api.ts";
import { chosenMode, modeChoices } from "../modes.ts";
import type { Conversation } from "../tree.ts";
import { h, identifier, on, setText } from "./dom.ts";

/** The settings that a conversation keeps. */
export type Chosen = Pick<Conversation, "model" | "mode" | "policy" | "system" | "temperature" | "maxTokens">;

/** Whether a model can be talked with: those of the hub say their task, a provider's are taken to be. */
export function canChat(model: Model): boolean {
  return model.artifact === "" || model.task === "chat" || model.task === "completion";
}

/** The model that a first conversation asks: one with an artifact before one that is merely asserted; "" when there is none. */
export function firstChoice(models: readonly Model[]): string {
  const fit = models.filter(canChat);
  return (fit.find((model) => model.artifact !== "") ?? fit[0])?.id ?? "";
}

/** A model's name as it may be shown: a provider's label never stands without "asserted by". */
export function nameOf(model: Model): string {
  return model.artifact === ""
    ? `${model.id}, asserted by ${model.provider === "" ? "its upstream provider" : model.provider}`
    : model.id;
}

/** The bar above a conversation. */
export class Settings {
  readonly element: HTMLElement;
  private readonly model = h("select", { class: "c-field", id: "c-model" });
  private readonly mode = h("select", { class: "c-field", id: "c-mode" });
  private readonly policy = h("select", { class: "c-field", id: "c-policy" });
  private readonly about = h("p", { class: "c-about" });
  private readonly system = h("textarea", { class: "c-field", rows: "2", id: "c-system" });
  private readonly temperature = h("input", {
    class: "c-field",
    type: "number",
    min: "0",
    max: "2",
    step: "0.1",
    id: "c-temperature",
  });
  private readonly most = h("input", {
    class: "c-field",
    type: "number",
    min: "0",
    max: "1000000",
    step: "1",
    id: "c-most",
  });
  private models: readonly Model[] = [];

  /** `path` stands beside the model, with what it says below the choices. */
  constructor(path: { readonly field: HTMLElement; readonly element: HTMLElement }, changed: (chosen: Chosen) => void) {
    const tell = (): void => {
      this.describe();
      changed(this.chosen);
    };
    for (const field of [this.model, this.mode, this.policy, this.system, this.temperature, this.most])
      on<HTMLElement>(field, { change: tell });
    const labelled = (text: string, field: HTMLElement): HTMLElement =>
      h("label", { for: field.id }, h("span", {}, text), field);
    this.element = h(
      "section",
      { class: "c-settings", "aria-label": "Model and policy" },
      h(
        "div",
        { class: "c-choices" },
        labelled("Model", this.model),
        labelled("Path of the next question", path.field),
        labelled("Mode", this.mode),
        labelled("Policy", this.policy),
      ),
      path.element,
      this.about,
      h(
        "details",
        { class: "c-menu" },
        h("summary", {}, "More settings"),
        labelled("Instructions that stand before the conversation", this.system),
        h(
          "div",
          { class: "c-choices" },
          labelled("Temperature (0: the same question gives the same answer)", this.temperature),
          labelled("Most tokens of an answer (0: as many as fit)", this.most),
        ),
      ),
    );
  }

  /** Draws models, policies, and what the conversation has chosen. */
  update(models: readonly Model[], policies: readonly string[], chosen: Chosen): void {
    this.models = models;
    const fit = models.filter(canChat);
    const others = models.filter((model) => !canChat(model));
    const known = fit.some((model) => model.id === chosen.model);
    this.model.replaceChildren(
      ...(known || chosen.model === "" ? [] : [option(chosen.model, `${chosen.model}, not served now`)]),
      ...fit.map((model) => option(model.id, nameOf(model))),
      ...(others.length === 0
        ? []
        : [
            h(
              "optgroup",
              { label: "Not for conversations" },
              ...others.map((model) => option(model.id, `${nameOf(model)}: ${model.task}`, true)),
            ),
          ]),
    );
    this.model.value = chosen.model;
    this.policy.replaceChildren(
      option("", "none: draft at once"),
      ...policies.map((name) => option(name, `hold until ${name}`)),
      ...(chosen.policy !== "" && !policies.includes(chosen.policy)
        ? [option(chosen.policy, `hold until ${chosen.policy}`)]
        : []),
    );
    this.policy.value = chosen.policy;
    this.system.value = chosen.system;
    this.temperature.value = String(chosen.temperature);
    this.most.value = String(chosen.maxTokens);
    this.describe(chosen.mode);
  }

  private get chosen(): Chosen {
    const number = (field: HTMLInputElement, most: number): number =>
      Math.min(Math.max(Number(field.value) || 0, 0), most);
    return {
      model: this.model.value,
      mode: this.mode.value,
      policy: this.policy.value,
      system: this.system.value,
      temperature: number(this.temperature, 2),
      maxTokens: Math.trunc(number(this.most, 1_000_000)),
    };
  }

  private describe(mode = this.mode.value): void {
    const model = this.models.find((one) => one.id === this.model.value);
    const modes = model?.modes ?? [];
    this.mode.replaceChildren(...modeChoices(modes).map(({ value, words }) => option(value, words)));
    this.mode.value = chosenMode(modes, mode);
    if (model === undefined) {
      setText(
        this.about,
        this.models.length === 0 ? "No model is served here just now." : "No node serves this model just now.",
      );
      return;
    }
    const left = Object.entries(model.excluded)
      .map(([reason, count]) => `${count} ${reason}`)
      .join(", ");
    const nodes = `${model.nodes} node${model.nodes === 1 ? "" : "s"}, ${model.capacity} slot${model.capacity === 1 ? "" : "s"}${left === "" ? "" : `; left out: ${left}`}`;
    const who = model.artifact === "" ? "No artifact: the provider alone says which model answers." : null;
    const version = model.version === "" ? "" : ` version ${model.version}`;
    this.about.replaceChildren(
      ...(who === null ? ["artifact ", identifier(model.artifact), `${version}; `] : [`${who} `]),
      `mode ${modes.join(", ") || "not named"} (real or simulated hardware: the mark ran says it under each answer); ${nodes}. `,
      h("a", { href: `/models/${model.id.split("/").map(encodeURIComponent).join("/")}` }, "The model's page"),
      ...(model.description === "" ? [] : [h("span", { class: "c-card", "data-quoted": "" }, ` ${model.description}`)]),
    );
  }
}

function option(value: string, text: string, disabled = false): HTMLOptionElement {
  return h("option", { value, disabled }, text);
}
