// What is kept on this device: passphrase, files to take away and to bring back, and the words about both.
import type { App } from "./app.ts";
import { CannotOpen } from "./crypto.ts";
import { encryptedFile, isEncrypted, NotImportable, plainFile, readFile } from "./exporting.ts";
import { askPassphrase, confirmThat } from "./view/dialogs.ts";
import { saveFile } from "./view/dom.ts";

const LEAST = 10;

/** See the head of this file. */
export class Keeping {
  private readonly app: App;

  constructor(app: App) {
    this.app = app;
  }

  /** What is kept, under which key, and what that protects from. */
  storageWords(): string {
    const { vault } = this.app.library;
    if (!vault.lasting)
      return "This browser, or this address without HTTPS, keeps nothing: the conversations end with this page.";
    if (vault.mode === "device") {
      return "Kept on this device only, encrypted with a key that this browser holds. That protects from somebody who copies single files, not from somebody who can use this browser or copies its whole profile. Set a passphrase for that.";
    }
    return "Kept on this device only, encrypted with a key that your passphrase opens. Without it nobody can read them, you included. While this page is open, whoever can use it can read.";
  }

  /** Asks for the passphrase until the vault is open, or everything in it was given up. */
  async unlock(): Promise<void> {
    const { vault } = this.app.library;
    while (!vault.isOpen) {
      const ask = {
        title: "Unlock your conversations",
        text: "They are encrypted on this device with your passphrase.",
        yes: "Unlock",
        twice: false,
        least: 1,
      };
      const done = await askPassphrase(ask, (passphrase) => tried(() => vault.unlock(passphrase)));
      const text =
        "Without the passphrase nothing of them can be read. You can delete them all from this device and begin anew, or cancel and try again.";
      if (!done && (await confirmThat("The conversations stay locked", text, "Delete them all"))) await vault.reset();
    }
  }

  /** Sets, changes or removes the passphrase. Every record is sealed anew under a new key. */
  async passphrase(): Promise<void> {
    const { vault } = this.app.library;
    const remove =
      vault.mode === "passphrase" &&
      (await confirmThat(
        "Remove the passphrase?",
        "Then a key that this browser holds opens the conversations. Cancel to set another passphrase instead.",
        "Remove it",
      ));
    if (remove) {
      const wrong = await tried(() => vault.rewrap(""));
      this.app.tell(wrong === "" ? "The passphrase is removed." : wrong);
    } else {
      const ask = {
        title: "Set a passphrase",
        text: "It opens the conversations on this device. It cannot be recovered: without it they are lost.",
        yes: "Set it",
        twice: true,
        least: LEAST,
      };
      await askPassphrase(ask, (passphrase) => tried(() => vault.rewrap(passphrase)));
    }
    this.app.draw();
  }

  /** Hands out a file with one conversation, or all for an empty id. */
  async exportFile(encrypted: boolean, id: string): Promise<void> {
    const bundle = await this.app.library.bundle(id === "" ? [] : [id]);
    if (bundle.conversations.every((conversation) => conversation.roots.length === 0))
      return this.app.tell("There is nothing to export yet.");
    const suffix = this.app.pathInHold ? " (HOLD)" : "";
    const name = `hallmark-chat-${new Date().toISOString().slice(0, 10)}`;
    if (!encrypted) {
      const text =
        "The file is not encrypted. Whoever has it can read the conversations, and open the digests in their receipts with the salts in it.";
      if (await confirmThat("Export as plain JSON?", text, `Export${suffix}, plain`))
        saveFile(`${name}.plain.json`, plainFile(bundle));
      return;
    }
    const ask = {
      title: "Passphrase for the file",
      text: "The file can be opened with it alone, here or on another device.",
      yes: `Export${suffix}`,
      twice: true,
      least: LEAST,
    };
    await askPassphrase(ask, (passphrase) =>
      tried(async () => saveFile(`${name}.encrypted.json`, await encryptedFile(bundle, passphrase))),
    );
  }

  /** Takes in a file. */
  async importFile(file: File): Promise<void> {
    const text = await file.text();
    const take = (passphrase: string): Promise<string> =>
      tried(async () => {
        const taken = await this.app.library.take(await readFile(text, passphrase));
        this.app.tell(
          `${taken} conversation${taken === 1 ? "" : "s"} imported. Their marks are derived again when you open them.`,
        );
      });
    try {
      if (isEncrypted(text)) {
        await askPassphrase(
          { title: "Open the file", text: `"${file.name}" is encrypted.`, yes: "Import", twice: false, least: 1 },
          take,
        );
      } else {
        const wrong = await take("");
        if (wrong !== "") this.app.tell(wrong);
      }
    } catch (error) {
      if (!(error instanceof NotImportable)) throw error;
      this.app.tell(error.message);
    }
    this.app.draw();
  }
}

async function tried(work: () => Promise<void>): Promise<string> {
  try {
    await work();
    return "";
  } catch (error) {
    if (error instanceof CannotOpen || error instanceof NotImportable) return error.message;
    return `It did not work: ${String(error)}`;
  }
}
