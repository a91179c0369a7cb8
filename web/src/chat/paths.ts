// The path of the open conversation: the switch, what it says, and the sealed way itself.
import { fetchNews, type Model } from "./api.ts";
import type { FetchNews } from "./follow.ts";
import { Sealing } from "./sealing.ts";
import { hardwareOf, pathNote, type Circumstances } from "./seen.ts";
import { pathOf, wasSealed, type AnswerState, type Conversation, type Path } from "./tree.ts";
import type { Composer } from "./view/composer.ts";
import { PathSwitch } from "./view/path.ts";

/** See the head of this file. */
export class Paths {
  readonly sealing: Sealing;
  readonly view: PathSwitch;
  private hardware: Circumstances["hardware"] = "simulated";

  /** `relay` is the address that this server names; `changed` is called to draw anew, `choose` with what a person chose. */
  constructor(relay: string, changed: () => void, choose: (path: Path) => void) {
    this.sealing = new Sealing(relay, changed);
    this.view = new PathSwitch(choose, () => void this.sealing.look());
  }

  /** The trust file that counts from now on. */
  use(trust: string): void {
    this.sealing.use(trust);
    this.hardware = hardwareOf(trust);
  }

  /** Draws the path of a conversation, and why nothing can be sent on it. */
  show(conversation: Conversation, model: Model | undefined, composer: Composer): string {
    const path = conversation.path ?? "plain";
    const provider = model === undefined || model.artifact !== "" ? "" : model.provider || "its upstream provider";
    const at: Circumstances = { relay: this.sealing.host, provider, hardware: this.hardware };
    const left = pathOf(conversation).some(wasSealed);
    this.view.update({ path, why: this.sealing.why, left, at });
    composer.path(path, pathNote(path, at));
    return path === "sealed" && this.sealing.why !== "" ? "The sealed path is not open now; nothing is sent on another." : "";
  }

  /** Which way the proofs of an answer are asked for: those of a sealed one through the relay alone. */
  newsFor({ path }: AnswerState): FetchNews {
    return path === "sealed" ? (id, timeout, signal) => this.sealing.news(id, timeout, signal) : fetchNews;
  }
}
