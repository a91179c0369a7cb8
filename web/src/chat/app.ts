// The chat page: its parts, and what happens between them.
import { listModels, fetchOffers, fetchTrust, Failed, type Model } from "./api.ts";
import * as address from "./address.ts";
import { Answers } from "./answers.ts";
import { Conversing } from "./conversing.ts";
import { memoryRecords, openDatabase, type Records } from "./database.ts";
import { Keeping } from "./keeping.ts";
import { Paths } from "./paths.ts";
import { Drafts } from "./drafts.ts";
import { Deleted, Library } from "./library.ts";
import { merged } from "./merge.ts";
import { Speaker } from "./speaker.ts";
import { policyNames } from "./trust.ts";
import { Trusting } from "./trusting.ts";
import { onPath, pathOf, type AnswerState, type Conversation } from "./tree.ts";
import { Vault } from "./vault.ts";
import { Windows } from "./windows.ts";
import { Composer } from "./view/composer.ts";
import { Cost } from "./view/cost.ts";
import { confirmThat, showHelp } from "./view/dialogs.ts";
import { button, h, on } from "./view/dom.ts";
import { pressed } from "./view/keys.ts";
import { notice } from "./view/notices.ts";
import { Scrolling } from "./view/scrolling.ts";
import { firstChoice, Settings } from "./view/settings.ts";
import { Sidebar } from "./view/sidebar.ts";
import { Thread } from "./view/thread.ts";
import { themeSwitch } from "./view/theme.ts";

/** The page. */
export class App {
  readonly library: Library;
  readonly answers: Answers;
  readonly thread: Thread;
  readonly speaker: Speaker;
  readonly composer: Composer;
  readonly windows: Windows;
  readonly scrolling: Scrolling;
  readonly paths: Paths;
  current: Conversation;
  private readonly conversing: Conversing;
  private readonly keeping: Keeping;
  private readonly drafts: Drafts;
  private readonly settings: Settings;
  private readonly sidebar: Sidebar;
  private readonly cost = new Cost();
  private readonly notices = h("div", { class: "c-notices" });
  private readonly trusting: Trusting;
  private models: readonly Model[] = [];
  private unreachable = "";

  private constructor(records: Records, vault: Vault, relay: string) {
    this.paths = new Paths(relay, () => this.draw(), (path) => void this.choose(onPath(this.current, path)));
    this.windows = new Windows((id) => void this.writtenElsewhere(id));
    this.library = new Library(vault, (id) => this.windows.tell(id));
    this.answers = new Answers(
      this.library,
      (answer) => this.paths.newsFor(answer),
      (id) => this.answerChanged(id),
      (id, at) => void this.conversing.proved(id, at),
    );
    this.conversing = new Conversing(this);
    this.keeping = new Keeping(this);
    this.drafts = new Drafts(this.library);
    this.thread = new Thread(this.conversing, this.answers, this.windows);
    vault.locked = () => this.keeping.unlock();
    const live = h("div", { class: "c-unseen", "aria-live": "polite", role: "status" });
    this.speaker = new Speaker(live);
    this.composer = new Composer({
      send: (text) => void this.conversing.send(text),
      stop: () => this.conversing.stop(),
      editLast: () => this.thread.lastQuestion()?.edit(),
      typed: (text) => this.drafts.typed(this.current.id, text),
    });
    this.scrolling = new Scrolling(this.thread.element, this.composer.element);
    this.trusting = new Trusting(records, this.notices, (text, anew) => this.useTrust(text, anew));
    this.settings = new Settings(this.paths.view, (chosen) => void this.choose({ ...this.current, ...chosen }));
    this.sidebar = new Sidebar(
      {
        begin: () => void this.begin(),
        open: (id) => void this.open(id),
        rename: (id, title) => void this.rename(id, title),
        drop: (id) => void this.drop(id),
        exportFile: (encrypted, id) => void this.keeping.exportFile(encrypted, id),
        importFile: (file) => void this.keeping.importFile(file),
        passphrase: () => void this.keeping.passphrase(),
        lock: () => location.reload(),
      },
      () => this.drawList(),
    );
    this.current = this.library.begin("", "");
    document.body.append(live);
  }

  /** Builds the page into `root`. */
  static async start(root: HTMLElement): Promise<App> {
    // The network is asked before the history is opened, so that both come at once.
    const asked = Promise.allSettled([listModels(), fetchTrust()]);
    let records: Records;
    try {
      if (globalThis.crypto?.subtle === undefined) throw new Error("no WebCrypto");
      records = await openDatabase();
    } catch {
      records = memoryRecords();
    }
    const app = new App(records, await Vault.of(records), root.dataset["relay"] ?? "");
    app.build(root);
    void app.paths.sealing.look();
    const network = app.network(asked);
    await app.keeping.unlock();
    await app.loadHistory();
    await network;
    return app;
  }

  /** Keeps a changed conversation, with dossiers of its answers where given, and draws it. False when another window deleted it. */
  async keep(conversation: Conversation, dossiers: Readonly<Record<string, string>> = {}): Promise<boolean> {
    this.shown(conversation);
    return this.begun(conversation, conversation, dossiers);
  }

  /** Keeps `kept` for a conversation that is shown as `shown`, and shows what other windows added. False when one deleted it. */
  async begun(
    shown: Conversation,
    kept: Conversation,
    dossiers: Readonly<Record<string, string>> = {},
  ): Promise<boolean> {
    try {
      const together = await this.library.save(kept, dossiers);
      if (this.current.id === kept.id) {
        address.write(kept.id, false);
        this.current = merged(kept, together, this.current === shown ? shown : this.current);
        this.draw();
      }
    } catch (error) {
      if (!(error instanceof Deleted)) throw error;
      await this.wasDeleted(kept.id);
      return false;
    }
    this.drawList();
    return true;
  }

  /** Draws a conversation that changed, if it is open. */
  shown(conversation: Conversation): void {
    if (conversation.id !== this.current.id) return;
    this.current = conversation;
    this.draw();
  }

  /** Draws conversation, controls and list as they are now. */
  draw(): void {
    this.thread.show(this.current);
    this.drawControls();
  }

  /** Reads the kept conversations and opens the newest. */
  async loadHistory(): Promise<void> {
    const unreadable = await this.library.load();
    if (unreadable > 0) this.tell(`${unreadable} kept conversations could not be opened; they are left as they are.`);
    await this.windows.look((id) => void this.answeredElsewhere(id));
    await this.arrive(true);
  }

  /** Shows what the address names; on a first visit without a name the newest. */
  async arrive(first: boolean): Promise<void> {
    const id = address.asked(location.hash);
    const known = id === undefined || id === "" ? undefined : this.library.get(id);
    if (known !== undefined) return this.open(known.id, false);
    if (id === "" && first) {
      const newest = this.library.list().find((one) => one.roots.length > 0);
      return newest === undefined ? this.begin(false) : this.open(newest.id, false);
    }
    if (id !== "") this.tell("The address names a conversation that is not kept in this browser. Here is a new one.");
    await this.begin(false);
  }

  /** Shows a notice above the conversation. */
  tell(text: string): void {
    const box = notice(
      text,
      button("Dismiss", () => box.remove()),
    );
    this.notices.append(box);
  }

  /** Whether an answer on the shown path, on which the next question builds, is in HOLD. */
  get pathInHold(): boolean {
    return pathOf(this.current).some((message) => this.answers.isHeld(message));
  }

  /** Opens another conversation. */
  async open(id: string, turned = true): Promise<void> {
    const conversation = this.library.get(id);
    if (conversation === undefined) return;
    address.write(id, turned);
    this.answers.forgetAll();
    this.current = this.conversing.resumed(conversation);
    this.draw();
    this.conversing.catchUp();
    this.drawSettings();
    this.composer.set(await this.library.draft(id));
    await this.reopenAnswers();
    this.scrolling.toEnd();
  }

  /** Verifies the answers of the open conversation, newest first. */
  async reopenAnswers(): Promise<void> {
    for (const [id, answer] of [...this.shownAnswers()].reverse()) {
      if (!this.conversing.isRunning(id)) await this.answers.reopen(id, answer);
    }
  }

  /** Who merely asserts a model, as the list has it; "" for a model of the hub. */
  assertedBy(label: string): string {
    const model = this.models.find((one) => one.id === label);
    return model === undefined || model.artifact !== "" ? "" : model.provider || "its upstream provider";
  }

  private build(root: HTMLElement): void {
    const toggle = button("Conversations", () => this.sidebar.toggle(), {
      class: "c-button c-side-toggle",
      "aria-controls": "c-side",
    });
    root.replaceChildren(
      this.sidebar.element,
      h(
        "div",
        { class: "c-page" },
        h(
          "div",
          { class: "c-bar" },
          toggle,
          button("Keys", () => showHelp(), { "aria-haspopup": "dialog" }),
          themeSwitch(),
        ),
        this.settings.element,
        this.cost.element,
        this.notices,
        this.thread.element,
        this.composer.element,
        this.trusting.element,
      ),
    );
    on(document.body, { keydown: (event) => pressed(event, { write: () => this.composer.focus(), stop: () => this.stopped() }) });
    addEventListener("popstate", () => void this.arrive(false));
    this.draw();
    this.drawSettings();
    this.composer.focus();
  }

  private async network(asked: Promise<[PromiseSettledResult<Model[]>, PromiseSettledResult<string>]>): Promise<void> {
    void fetchOffers().then(
      (offers) => ((this.cost.offers = offers), this.drawCost()),
      () => undefined,
    );
    const [models, trust] = await asked;
    if (models.status === "fulfilled") this.models = models.value;
    else
      this.unreachable =
        models.reason instanceof Failed
          ? `${models.reason.trouble.message} ${models.reason.trouble.hint}`
          : "The models could not be listed.";
    if (trust.status === "fulfilled") await this.trusting.offered(trust.value);
    else this.tell("The trust file could not be fetched, so nothing can be verified: every mark stays absent.");
    if (this.current.model === "") this.current = { ...this.current, model: firstChoice(this.models) };
    this.drawSettings();
    this.draw();
    await this.reopenAnswers();
  }

  private useTrust(text: string, anew: boolean): void {
    this.answers.trust = text;
    this.paths.use(text);
    if (anew) void this.answers.again(this.shownAnswers()).then(() => this.drawSettings());
  }

  private shownAnswers(): Map<string, AnswerState> {
    return new Map(
      pathOf(this.current).flatMap((message) => (message.answer === null ? [] : [[message.id, message.answer]])),
    );
  }

  private answerChanged(id: string): void {
    this.scrolling.mark();
    this.thread.refresh(id);
    this.drawControls();
    this.scrolling.stay();
    this.conversing.spoken(id);
  }

  private drawControls(): void {
    const shut = this.paths.show(this.current, this.models.find((one) => one.id === this.current.model), this.composer);
    const none = this.current.model === "" ? "No model is served here just now." : "";
    const why = this.unreachable || none || shut;
    this.composer.state(this.conversing.busy(this.current.id), this.pathInHold, why);
    this.drawCost();
    this.drawList();
  }

  /** The cost of every answer on the shown path that has a receipt here. */
  private drawCost(): void {
    const dossiers = [...this.shownAnswers().keys()].map((id) => this.answers.live(id).dossier);
    this.cost.show(this.current.model, dossiers.filter((dossier) => dossier !== undefined));
  }

  private drawSettings(): void {
    this.drawCost();
    this.settings.update(this.models, policyNames(this.answers.trust), this.current);
  }

  private drawList(): void {
    if (this.sidebar.element.contains(document.activeElement) && document.activeElement?.matches(".c-list input"))
      return;
    const { vault } = this.library;
    this.sidebar.update({
      list: this.library
        .list(this.sidebar.search.value)
        .filter((one) => one.roots.length > 0 || one.id === this.current.id),
      current: this.current.id,
      hold: this.pathInHold,
      storage: this.keeping.storageWords(),
      mode: vault.mode,
      open: vault.isOpen,
    });
  }

  private async begin(turned = true): Promise<void> {
    const model = this.current.model || firstChoice(this.models);
    this.answers.forgetAll();
    address.write("", turned);
    this.current = this.current.roots.length === 0 ? this.current : this.library.begin(model, this.current.policy, this.current.path);
    this.composer.set("");
    this.draw();
    this.drawSettings();
    this.composer.focus();
  }

  private async rename(id: string, title: string): Promise<void> {
    const conversation = this.library.get(id);
    this.composer.focus();
    if (conversation !== undefined) await this.keep({ ...conversation, title, named: true });
  }

  private async drop(id: string): Promise<void> {
    const title = this.library.get(id)?.title ?? "";
    const text = `"${title}" is deleted from this device with the salts of its receipts. The network's log keeps digests, which say nothing without them.`;
    if (!(await confirmThat("Delete this conversation?", text, "Delete"))) return;
    this.conversing.abandon(id);
    await this.library.drop(id);
    if (id === this.current.id) {
      this.current = this.library.begin(this.current.model, this.current.policy, this.current.path);
      const next = this.library.list().find((one) => one.roots.length > 0);
      await (next === undefined ? this.begin(false) : this.open(next.id, false));
    }
    this.drawList();
  }

  /** Another window wrote or deleted a conversation. */
  private async writtenElsewhere(id: string): Promise<void> {
    if (!this.library.vault.isOpen) return;
    const before = this.current;
    await this.windows.look((answer) => void this.answeredElsewhere(answer));
    let mine: Conversation | undefined;
    const now = await this.library.refresh(id, () => (mine = this.current.id === id ? this.current : undefined));
    if (now === undefined) await this.wasDeleted(id);
    else if (this.current.id === id) {
      // The page may have gone on since it was asked what it shows.
      this.current = mine === undefined || mine === this.current ? now : merged(mine, now, this.current);
      this.draw();
      await this.reopenAnswers();
      if (pathOf(now).length > pathOf(before).length) this.scrolling.toEnd();
    }
    this.drawList();
  }

  private async answeredElsewhere(answer: string): Promise<void> {
    const owner = this.library.list().find((one) => answer in one.messages);
    if (owner !== undefined) await this.writtenElsewhere(owner.id);
  }

  private async wasDeleted(id: string): Promise<void> {
    this.conversing.abandon(id);
    if (id === this.current.id) {
      this.tell("This conversation was deleted in another window, with the salts of its receipts.");
      this.current = this.library.begin(this.current.model, this.current.policy, this.current.path);
      await this.begin(false);
    }
    this.drawList();
  }

  private async choose(changed: Conversation): Promise<void> {
    if (changed.roots.length === 0) {
      this.current = changed;
      this.draw();
    } else await this.keep(changed);
  }

  /** Forgets what was typed in the open conversation: it was sent. */
  sent(): Promise<void> {
    return this.drafts.sent(this.current.id);
  }

  private stopped(): void {
    this.sidebar.close();
    this.conversing.stop();
  }
}
