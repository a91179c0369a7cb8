// The conversations of this device: search, rename, delete, take away, bring back, lock.
import type { Conversation } from "../tree.ts";
import { button, h, on, setText } from "./dom.ts";

/** What the sidebar does. */
export interface SidebarActions {
  begin(): void;
  open(id: string): void;
  rename(id: string, title: string): void;
  drop(id: string): void;
  exportFile(encrypted: boolean, id: string): void;
  importFile(file: File): void;
  passphrase(): void;
  lock(): void;
}

/** What the sidebar shows. */
export interface SidebarState {
  readonly list: readonly Conversation[];
  readonly current: string;
  readonly hold: boolean;
  readonly storage: string;
  readonly mode: "device" | "passphrase";
  readonly open: boolean;
}

/** The sidebar. */
export class Sidebar {
  readonly element: HTMLElement;
  readonly search = h("input", {
    type: "search",
    class: "c-field",
    placeholder: "Search",
    "aria-label": "Search conversations",
  });
  private readonly items = h("ul", { class: "c-list" });
  private readonly storage = h("p", { class: "c-storage" });
  private readonly files = h("div", { class: "c-files" });
  private readonly count = h("p", { class: "c-count", "aria-live": "polite" });
  private readonly actions: SidebarActions;
  private readonly find: (query: string) => void;

  /** Opens it where it is shut away, or shuts it. */
  toggle(): void {
    this.element.toggleAttribute("data-open");
    if (this.element.hasAttribute("data-open")) this.search.focus();
  }

  /** Shuts it where it covers the page. */
  close(): void {
    this.element.removeAttribute("data-open");
  }

  constructor(actions: SidebarActions, find: (query: string) => void) {
    this.actions = actions;
    this.find = find;
    on(this.search, { input: () => this.find(this.search.value) });
    this.element = h(
      "nav",
      { class: "c-side", id: "c-side", "aria-label": "Conversations" },
      h(
        "div",
        { class: "c-side-head" },
        button("New conversation", () => actions.begin(), { class: "c-button c-main" }),
      ),
      this.search,
      this.count,
      this.items,
      this.files,
      this.storage,
    );
  }

  /** Draws the list and what is kept where. */
  update(state: SidebarState): void {
    setText(this.count, this.search.value === "" ? "" : `${state.list.length} found`);
    this.items.replaceChildren(
      ...state.list.map((conversation) => this.item(conversation, conversation.id === state.current)),
    );
    setText(this.storage, state.storage);
    const suffix = state.hold ? " (HOLD)" : "";
    const chooser = h("input", {
      type: "file",
      accept: ".json,application/json",
      class: "c-unseen",
      tabindex: "-1",
      "aria-hidden": "true",
    });
    on(chooser, {
      change: () => {
        const file = chooser.files?.[0];
        if (file !== undefined) this.actions.importFile(file);
      },
    });
    const menu = h(
      "details",
      { class: "c-menu" },
      h("summary", {}, `Export${suffix}, import`),
      button(`Export this one${suffix}, encrypted`, () => this.actions.exportFile(true, state.current)),
      button(`Export all${suffix}, encrypted`, () => this.actions.exportFile(true, "")),
      button(`Export this one${suffix}, plain: anyone can read it`, () =>
        this.actions.exportFile(false, state.current),
      ),
      button(`Export all${suffix}, plain: anyone can read it`, () => this.actions.exportFile(false, "")),
      button("Import a file", () => chooser.click()),
      chooser,
    );
    menu.open = this.files.querySelector("details")?.open ?? false;
    const keys =
      state.mode === "device"
        ? [button("Set a passphrase", () => this.actions.passphrase())]
        : [
            button("Change or remove the passphrase", () => this.actions.passphrase()),
            ...(state.open ? [button("Lock", () => this.actions.lock())] : []),
          ];
    this.files.replaceChildren(menu, ...keys);
  }

  private item(conversation: Conversation, current: boolean): HTMLElement {
    const open = button(conversation.title, () => this.actions.open(conversation.id), {
      class: "c-button c-open",
      "data-quoted": "",
      ...(current ? { "aria-current": "true" } : {}),
      title: conversation.title,
    });
    const item = h(
      "li",
      { class: current ? "c-current" : "" },
      open,
      h(
        "span",
        { class: "c-item-tools" },
        button("Rename", () => this.rename(conversation, item), {
          class: "c-button c-tiny",
          "aria-label": `Rename ${conversation.title}`,
        }),
        button("Delete", () => this.actions.drop(conversation.id), {
          class: "c-button c-tiny",
          "aria-label": `Delete ${conversation.title}`,
        }),
      ),
    );
    return item;
  }

  private rename(conversation: Conversation, item: HTMLElement): void {
    const field = h("input", { class: "c-field", "aria-label": "Title", maxlength: "120" });
    field.value = conversation.title;
    let done = false;
    const finish = (keep: boolean): void => {
      if (done) return;
      done = true;
      this.actions.rename(conversation.id, keep && field.value.trim() !== "" ? field.value.trim() : conversation.title);
    };
    on(field, {
      keydown: (event) => {
        if (event.isComposing) return;
        if (event.key === "Enter") finish(true);
        if (event.key === "Escape") (event.stopPropagation(), finish(false));
      },
      blur: () => finish(true),
    });
    item.replaceChildren(field);
    field.focus();
    field.select();
  }
}
