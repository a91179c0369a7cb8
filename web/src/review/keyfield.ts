// The fields by which a person brings a key: a file that is read here, or the key kept here under a passphrase.
import { hex0x } from "../verify/bytes.ts";
import { HallmarkError } from "../verify/errors.ts";
import { addressOf, readKeyFile } from "./statements.ts";
import { forget, keep, keptAddress, unlock } from "./vault.ts";

let count = 0;

/** The key fields in a form. `secret` gives the key, or raises with what is missing; it stays in this page's memory. */
export interface KeyField {
  secret(): Promise<Uint8Array>;
}

/** Puts the key fields into `place`. */
export async function keyField(place: Element): Promise<KeyField> {
  const kept = globalThis.crypto?.subtle === undefined ? undefined : await keptAddress();
  return kept === undefined ? fileField(place) : keptField(place, kept);
}

function fileField(place: Element): KeyField {
  const file = input("file", { accept: ".key,.txt,.hex,text/plain" });
  const keeping = input("checkbox", {});
  const passphrase = input("password", { autocomplete: "new-password", minlength: "8" });
  const wanted = field("Passphrase for keeping it here", passphrase, "At least 8 characters. Nobody can give it back to you.");
  wanted.hidden = true;
  keeping.addEventListener("change", () => (wanted.hidden = !keeping.checked));
  place.replaceChildren(field("Key file", file, "64 hexadecimal digits. It is read in this browser and never sent."));
  if (globalThis.crypto?.subtle !== undefined) place.append(check(keeping, "Keep the key in this browser, encrypted with a passphrase"), wanted);
  return {
    secret: async () => {
      const chosen = file.files?.[0];
      if (chosen === undefined) throw new HallmarkError("no_key", "Choose your key file first.");
      if (chosen.size > 1024) throw new HallmarkError("bad_key_file", "This file is too large to be a key file.");
      const secret = readKeyFile(await chosen.text());
      if (keeping.checked) {
        if (passphrase.value.length < 8) throw new HallmarkError("short_passphrase", "A passphrase has at least 8 characters.");
        await keep(hex0x(addressOf(secret)), Uint8Array.from(secret), passphrase.value);
      }
      return secret;
    },
  };
}

function keptField(place: Element, address: string): KeyField {
  const passphrase = input("password", { autocomplete: "current-password" });
  const away = document.createElement("button");
  away.type = "button";
  away.className = "plain";
  away.textContent = "Forget this key, use a file";
  let now: KeyField = {
    secret: async () => {
      const secret = await unlock(passphrase.value);
      if (secret === undefined) throw new HallmarkError("no_key", "No key is kept here any more.", "Reload the page and choose a key file.");
      return secret;
    },
  };
  away.addEventListener("click", async () => {
    await forget();
    now = fileField(place);
    place.querySelector("input")?.focus();
  });
  place.replaceChildren(field("Passphrase", passphrase, `Opens the key ${address.slice(0, 8)}\u2026${address.slice(-6)} that is kept in this browser.`), away);
  return { secret: () => now.secret() };
}

function input(type: string, attributes: Readonly<Record<string, string>>): HTMLInputElement {
  const made = document.createElement("input");
  made.type = type;
  made.id = `key-field-${(count += 1)}`;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made; // without a name: no form ever sends it
}

function field(label: string, control: HTMLInputElement, help: string): HTMLElement {
  const made = document.createElement("div");
  made.className = "field";
  const named = document.createElement("label");
  named.htmlFor = control.id;
  named.textContent = label;
  const told = document.createElement("p");
  told.className = "help";
  told.id = `${control.id}-help`;
  told.textContent = help;
  control.setAttribute("aria-describedby", told.id);
  made.append(named, told, control);
  return made;
}

function check(control: HTMLInputElement, words: string): HTMLElement {
  const made = document.createElement("label");
  made.className = "check";
  made.append(control, words);
  return made;
}
