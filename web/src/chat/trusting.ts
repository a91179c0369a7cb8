// The trust file that answers are verified by: pinned at the first visit, replaced when the person accepts another.
import type { Records } from "./database.ts";
import { judge } from "./judge.ts";
import { acceptTrust, pinOf, settleTrust, type TrustState } from "./trust.ts";
import { h } from "./view/dom.ts";
import { trustNote, trustWarning } from "./view/notices.ts";

/** See the head of this file. */
export class Trusting {
  readonly element = h("div");
  private readonly records: Records;
  private readonly notices: HTMLElement;
  private readonly used: (text: string, anew: boolean) => void;
  private state: TrustState | undefined;

  /** `used` is called with the trust file that counts from now on, `anew` when the person has accepted it in another's place. */
  constructor(records: Records, notices: HTMLElement, used: (text: string, anew: boolean) => void) {
    this.records = records;
    this.notices = notices;
    this.used = used;
  }

  /** The server gave this trust file: it is pinned if none was, and offered if it is another. */
  async offered(text: string): Promise<void> {
    this.use(await settleTrust(this.records, await pinOf(text, Date.now())));
  }

  private use(state: TrustState, anew = false): void {
    this.state = state;
    this.used(state.pin.text, anew);
    // Starts the verifier before the first answer comes.
    void judge({ dossier: "{}", trust: state.pin.text, status: "[]", policy: "", now: Date.now() });
    const warning = trustWarning(state, () => void this.accept());
    this.element.replaceChildren(trustNote(state));
    if (warning !== undefined) this.notices.prepend(warning);
  }

  private async accept(): Promise<void> {
    const offered = this.state?.offered;
    if (offered === undefined) return;
    this.notices.replaceChildren();
    this.use(await acceptTrust(this.records, offered), true);
  }
}
