// The running cost of the open conversation, what the chosen model costs, and what is left of a wallet's vault account.
import { fetchAccount, Failed } from "../api.ts";
import { ADDRESS, costWords, leftWords, priceWords, SIGNS_NOTHING, type Offer } from "../cost.ts";
import type { RawMembers } from "../rawjson.ts";
import { h, on, setText } from "./dom.ts";

const NAME = "hallmark-wallet-address";
const AGAIN = 15_000;

/** The lines about money under the bar of settings. */
export class Cost {
  readonly element: HTMLElement;
  /** The offers in force; undefined while they are not known. */
  offers: readonly Offer[] | undefined;
  private readonly price = h("p", { class: "c-about" });
  private readonly soFar = h("p", { class: "c-about" });
  private readonly left = h("p", { class: "c-about" });
  private readonly address = h("input", {
    class: "c-field",
    type: "text",
    id: "c-wallet",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "0x",
    maxlength: "42",
  });
  private asked = 0;
  private answers = 0;

  constructor() {
    this.address.value = kept();
    on(this.address, { change: () => (keep(this.address.value.trim().toLowerCase()), void this.look(true)) });
    this.element = h(
      "section",
      { class: "c-settings c-cost", "aria-label": "Cost" },
      this.price,
      this.soFar,
      this.left,
      h(
        "details",
        { class: "c-menu" },
        h("summary", {}, "What is left"),
        h(
          "label",
          { for: "c-wallet" },
          h("span", {}, `A wallet's address, to show what its vault account holds. ${SIGNS_NOTHING}, and asks for no key.`),
          this.address,
        ),
      ),
    );
  }

  /** Draws the price of a model and what these answers cost. */
  show(model: string, dossiers: readonly RawMembers[]): void {
    const known = this.offers === undefined || model === "" ? "" : priceWords(model, this.offers);
    setText(this.price, known);
    setText(this.soFar, costWords(dossiers));
    const answered = dossiers.length !== this.answers;
    this.answers = dossiers.length;
    void this.look(answered);
  }

  /** Asks what is left: `now`, after each answer, and otherwise at most every 15 s. */
  private async look(now: boolean): Promise<void> {
    const address = this.address.value.trim().toLowerCase();
    if (!ADDRESS.test(address)) {
      setText(this.left, address === "" ? "" : "A wallet's address is 0x and 40 hexadecimal digits.");
      return;
    }
    if (!now && Date.now() - this.asked < AGAIN) return;
    this.asked = Date.now();
    try {
      setText(this.left, leftWords(await fetchAccount(address)));
    } catch (error) {
      const why = error instanceof Failed ? error.trouble.message : "The account could not be read.";
      setText(this.left, `What is left is not known: ${why}`);
    }
  }
}

function kept(): string {
  try {
    const address = localStorage.getItem(NAME) ?? "";
    return ADDRESS.test(address) ? address : "";
  } catch {
    return "";
  }
}

function keep(address: string): void {
  try {
    if (ADDRESS.test(address)) localStorage.setItem(NAME, address);
    else localStorage.removeItem(NAME);
  } catch {
    // A browser that keeps nothing still shows what was typed.
  }
}
