// <hallmark-marks receipt="0x..">: the row of seven marks on other sites. It verifies by itself and cannot be told what to
// show: no attribute, property, child or style of the page sets a state.
import css from "../../../src/hallmark/apps/web/static/marks.css?inline";
import { HallmarkError } from "../verify/errors.ts";
import { absentMarks, renderMarks, updateMarks } from "./draw.ts";
import {
  fetchTrusted,
  isReceiptId,
  NOT_CHECKED,
  reasonOf,
  refusedBy,
  unshown,
  verifyPublic,
  type Fetch,
  type Shown,
  type Wanted,
} from "./embed.ts";
import { pause, visible } from "../waiting.ts";

const ROUNDS = 12;
const WAIT = 20_000;
const PAUSE = 2_000;
// The page's own rules lose against !important inside; what can be inherited is declared again on the row itself.
const OWN = `
:host { all: initial !important; display: block !important; max-width: 660px !important; color-scheme: light dark !important; }
.hm-embedded { padding: 8px 10px 6px; border: 1px solid #d9d5cc; background: #fbfaf7; color: #1b1d22; font: 12px/1.4 system-ui, sans-serif; }
.hm-embedded { container-type: inline-size; }
@container (max-width: 540px) { .hm-marks { flex-wrap: wrap; row-gap: 8px; } .hm-mark { flex: 0 0 calc(25% - 2px); } }
.hm-embedded p { margin: 6px 0 0; text-align: left; }
.hm-embedded a { color: inherit; }
@media (prefers-color-scheme: dark) { .hm-embedded { border-color: #3b3d42; background: #16181c; color: #ebe7df; } }
`;

interface Inner {
  readonly row: HTMLElement;
  readonly sentence: HTMLElement;
  readonly link: HTMLAnchorElement;
}

// Kept here and not on the element: a page that holds the element can neither read nor write them.
const inners = new WeakMap<HTMLElement, Inner>();
const running = new WeakMap<HTMLElement, AbortController>();
let sheet: CSSStyleSheet | undefined;

/** Defines the element. `origin` is the origin of this script: nothing is asked of anybody else. */
export function defineMarks(origin: string): void {
  if (customElements.get("hallmark-marks") !== undefined) return;
  const { fetch } = globalThis;

  class HallmarkMarks extends HTMLElement {
    static readonly observedAttributes = ["receipt", "policy", "trust-sha256"];

    constructor() {
      super();
      const root = this.attachShadow({ mode: "closed" });
      sheet ??= styles();
      root.adoptedStyleSheets = [sheet];
      const inner = drawFrame(root, origin);
      inners.set(this, inner);
    }

    connectedCallback(): void {
      restart(this);
    }

    disconnectedCallback(): void {
      running.get(this)?.abort();
    }

    attributeChangedCallback(): void {
      if (this.isConnected) restart(this);
    }
  }

  function restart(element: HTMLElement): void {
    running.get(element)?.abort();
    const control = new AbortController();
    running.set(element, control);
    void show(element, control.signal);
  }

  async function show(element: HTMLElement, signal: AbortSignal): Promise<void> {
    const wanted: Wanted = {
      receipt: attribute(element, "receipt"),
      policy: attribute(element, "policy"),
      trustSHA256: attribute(element, "trust-sha256"),
    };
    draw(element, origin, wanted, unshown(NOT_CHECKED));
    if (!isReceiptId(wanted.receipt))
      return draw(element, origin, wanted, unshown("not checked: the receipt attribute holds no receipt id"));
    const fetchText: Fetch = async (path) => {
      const response = await fetch(origin + path, {
        signal,
        credentials: "omit",
        cache: "no-store",
        referrerPolicy: "no-referrer",
      });
      if (!response.ok) throw refusedBy(response.status, await response.text());
      return response.text();
    };
    let trust = "";
    for (let round = 0; round < ROUNDS && !signal.aborted; round += 1) {
      await visible(signal);
      try {
        trust ||= await fetchTrusted(fetchText, wanted.trustSHA256);
        const text = await fetchText(
          `/v1/hallmark/receipts/${wanted.receipt}?wait=witnessed&timeout=${round === 0 ? 0 : WAIT}`,
        );
        if (signal.aborted) return;
        const shown = verifyPublic(text, trust, wanted, Date.now());
        draw(element, origin, wanted, shown);
        const { state } = shown.marks.proved;
        if (state !== "absent" && state !== "claimed" && state !== "checked") return;
      } catch (error) {
        if (signal.aborted) return;
        draw(element, origin, wanted, unshown(reasonOf(error)));
        if (error instanceof HallmarkError && error.reason === "policy_unknown") return;
        if (trust === "" && reasonOf(error) !== "not checked: the gateway cannot be reached") return;
      }
      await pause(round === 0 ? 0 : PAUSE, signal);
    }
  }

  // What the page can reach is frozen: its methods cannot be replaced by others that draw what the page likes.
  Object.freeze(HallmarkMarks.prototype);
  Object.freeze(HallmarkMarks);
  customElements.define("hallmark-marks", HallmarkMarks);
}

function draw(element: HTMLElement, origin: string, wanted: Wanted, shown: Shown): void {
  const inner = inners.get(element);
  if (inner === undefined) return;
  updateMarks(inner.row, shown.marks, { answerAt: shown.answerAt, policy: shown.policy });
  const named = shown.policy === undefined ? "" : `; read by policy ${shown.policy.name}`;
  inner.sentence.textContent = `${shown.sentence}${named}. `;
  inner.link.href = isReceiptId(wanted.receipt) ? `${origin}/explore/receipts/${wanted.receipt}` : `${origin}/explore`;
}

function drawFrame(root: ShadowRoot, origin: string): Inner {
  const frame = document.createElement("div");
  frame.className = "hm-embedded";
  const row = renderMarks(absentMarks(), { answerAt: 0 });
  const line = document.createElement("p");
  const sentence = document.createElement("span");
  sentence.setAttribute("role", "status");
  sentence.textContent = NOT_CHECKED;
  const link = document.createElement("a");
  link.textContent = "The receipt on the network's own page";
  link.rel = "noopener noreferrer";
  link.target = "_blank";
  const legend = document.createElement("a");
  legend.textContent = "What the marks mean";
  legend.rel = "noopener noreferrer";
  legend.target = "_blank";
  legend.href = `${origin}/marks`;
  line.append(sentence, link, ". ", legend, ".");
  frame.append(row, line);
  root.append(frame);
  return { row, sentence, link };
}

function styles(): CSSStyleSheet {
  const made = new CSSStyleSheet();
  made.replaceSync(css + OWN);
  return made;
}

function attribute(element: HTMLElement, name: string): string {
  return Element.prototype.getAttribute.call(element, name) ?? "";
}
