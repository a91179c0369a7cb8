// History on this device, sealed. A random data key seals every record; a device key or a passphrase wraps the data key.
import {
  CannotOpen,
  ROUNDS,
  importKey,
  makeDeviceKey,
  open,
  passphraseKey,
  randomBytes,
  seal,
  type Sealed,
} from "./crypto.ts";
import { isSealed, tagOf, type Expected, type Records, type Write } from "./database.ts";

const VAULT = "vault";
const DEVICE = "device-key";
const WRAP = "hallmark/chat-vault/v1";

/** How the data key is wrapped: by a key that this browser keeps, or by a passphrase. */
export type Mode = "device" | "passphrase";

interface VaultRecord {
  readonly version: 1;
  readonly mode: Mode;
  readonly salt: Uint8Array<ArrayBuffer>;
  readonly rounds: number;
  readonly wrapped: Sealed;
}

/** What a change of records reads and decides: texts by name; undefined deletes. It may be asked again. */
export type Decide = (
  kept: ReadonlyMap<string, string | undefined>,
) => ReadonlyMap<string, string | undefined> | undefined;

/** Sealed records under one data key. `open` is false until a passphrase is given. */
export class Vault {
  mode: Mode;
  /** Called when another window changed the passphrase and this one has to ask for it. */
  locked: () => Promise<void> = () => Promise.reject(new CannotOpen());
  private readonly records: Records;
  private key: CryptoKey | undefined;
  private tag: string;
  private asking: Promise<void> | undefined;

  private constructor(records: Records, mode: Mode, key: CryptoKey | undefined, tag: string) {
    this.records = records;
    this.mode = mode;
    this.key = key;
    this.tag = tag;
  }

  /** The vault of this device; the first time one is made, under a device key. */
  static async of(records: Records): Promise<Vault> {
    const made = await fresh("device", "", ROUNDS);
    // Two windows may be the first at once: the one that is later takes the other's.
    await records.write(made.writes, [{ store: "keys", name: VAULT, tag: "" }]);
    const vault = new Vault(records, "device", undefined, "");
    await vault.reopen();
    return vault;
  }

  /** Whether records outlive this page. */
  get lasting(): boolean {
    return this.records.lasting;
  }

  /** Whether records can be read now. */
  get isOpen(): boolean {
    return this.key !== undefined;
  }

  /** Opens the vault. Throws CannotOpen for another passphrase. */
  async unlock(passphrase: string): Promise<void> {
    const found = await this.records.get("keys", VAULT);
    if (!isVault(found) || found.mode !== "passphrase") throw new CannotOpen();
    const wrapping = await passphraseKey(passphrase, found.salt, found.rounds);
    this.key = await importKey(await open(wrapping, WRAP, found.wrapped));
    this.tag = tagOf(found);
  }

  /** Seals everything anew under a new data key, wrapped by `passphrase`, or by a new device key if it is empty. */
  async rewrap(passphrase: string, rounds = ROUNDS): Promise<void> {
    const mode: Mode = passphrase === "" ? "device" : "passphrase";
    const { key, writes } = await fresh(mode, passphrase, rounds);
    for (;;) {
      await this.current();
      const moved: Write[] = [];
      const expected: Expected[] = [this.standing()];
      const names = await this.records.names("records");
      for (const name of names) {
        const { sealed, data } = await this.read(name);
        if (data === undefined) continue;
        expected.push({ store: "records", name, tag: tagOf(sealed) });
        moved.push({ store: "records", name, value: await seal(key, name, data) });
      }
      // What another window writes meanwhile would be lost, or stay under the old key: then all is sealed again.
      if (await this.records.write([...writes, ...moved], expected, names.length)) return this.took(key, mode, writes);
    }
  }

  /** Deletes everything that is kept and begins anew under a device key: for a passphrase that is lost. */
  async reset(): Promise<void> {
    const { key, writes } = await fresh("device", "", ROUNDS);
    const names = await this.records.names("records");
    await this.records.write([
      ...writes,
      ...names.map((name): Write => ({ store: "records", name, value: undefined })),
    ]);
    this.took(key, "device", writes);
  }

  /**
   * Changes records in one transaction: `decide` gets what is kept under `names` and says what shall be kept; undefined changes
   * nothing. When another window was faster it is asked again with what that one wrote, so nothing is overwritten unseen.
   */
  async change(names: readonly string[], decide: Decide): Promise<void> {
    for (;;) {
      await this.current();
      const standing = this.standing();
      const expected: Expected[] = [standing];
      const kept = new Map<string, string | undefined>();
      for (const name of names) {
        const { sealed, data } = await this.read(name);
        expected.push({ store: "records", name, tag: tagOf(sealed) });
        kept.set(name, data === undefined ? undefined : text(data));
      }
      const decided = decide(kept);
      if (decided === undefined) return;
      const writes: Write[] = [];
      for (const [name, value] of decided) {
        const sealed = value === undefined ? undefined : await seal(this.opened(), name, utf8.encode(value));
        writes.push({ store: "records", name, value: sealed });
      }
      if (await this.records.write(writes, expected)) return;
    }
  }

  /** Seals and keeps a text, whatever is there. */
  async put(name: string, value: string): Promise<void> {
    await this.change([], () => new Map([[name, value]]));
  }

  /** A kept text, or undefined. Throws CannotOpen when it was changed. */
  async get(name: string): Promise<string | undefined> {
    await this.current();
    const { data } = await this.read(name);
    return data === undefined ? undefined : text(data);
  }

  /** Names that begin with `prefix`. */
  async names(prefix: string): Promise<string[]> {
    return (await this.records.names("records")).filter((name) => name.startsWith(prefix));
  }

  /** Deletes records for good, salts included. */
  async delete(names: readonly string[]): Promise<void> {
    await this.records.write(names.map((name): Write => ({ store: "records", name, value: undefined })));
  }

  /** Follows another window that sealed everything anew: opens the new key, or asks for its passphrase. */
  private async current(): Promise<void> {
    if (this.key !== undefined && tagOf(await this.records.get("keys", VAULT)) === this.tag) return;
    await this.reopen();
    if (this.key === undefined) await (this.asking ??= this.locked().finally(() => (this.asking = undefined)));
  }

  /** A record as it stands and opened; read again when another window sealed everything anew in between. */
  private async read(name: string): Promise<{ sealed: unknown; data: Uint8Array<ArrayBuffer> | undefined }> {
    for (;;) {
      const { tag } = this;
      const sealed = await this.records.get("records", name);
      if (!isSealed(sealed)) return { sealed, data: undefined };
      try {
        return { sealed, data: await open(this.opened(), name, sealed) };
      } catch (error) {
        await this.current();
        if (this.tag === tag) throw error;
      }
    }
  }

  private async reopen(): Promise<void> {
    const found = await this.records.get("keys", VAULT);
    if (!isVault(found)) throw new CannotOpen();
    this.mode = found.mode;
    this.key = undefined;
    if (found.mode === "passphrase") return;
    const device = await this.records.get("keys", DEVICE);
    if (!(device instanceof CryptoKey)) throw new CannotOpen();
    this.key = await importKey(await open(device, WRAP, found.wrapped));
    this.tag = tagOf(found);
  }

  private took(key: CryptoKey, mode: Mode, writes: readonly Write[]): void {
    this.key = key;
    this.mode = mode;
    this.tag = tagOf(writes.find(({ name }) => name === VAULT)?.value);
  }

  private standing(): Expected {
    return { store: "keys", name: VAULT, tag: this.tag };
  }

  private opened(): CryptoKey {
    if (this.key === undefined) throw new CannotOpen();
    return this.key;
  }
}

const utf8 = new TextEncoder();

function text(data: Uint8Array): string {
  return new TextDecoder().decode(data);
}

async function fresh(mode: Mode, passphrase: string, rounds: number): Promise<{ key: CryptoKey; writes: Write[] }> {
  const raw = randomBytes(32);
  const salt = randomBytes(16);
  const device = mode === "device" ? await makeDeviceKey() : undefined;
  const wrapping = device ?? (await passphraseKey(passphrase, salt, rounds));
  const vault: VaultRecord = { version: 1, mode, salt, rounds, wrapped: await seal(wrapping, WRAP, raw) };
  const key = await importKey(raw);
  raw.fill(0);
  return {
    key,
    writes: [
      { store: "keys", name: VAULT, value: vault },
      { store: "keys", name: DEVICE, value: device },
    ],
  };
}

function isVault(value: unknown): value is VaultRecord {
  const found = value as Partial<VaultRecord> | null | undefined;
  return found?.version === 1 && (found.mode === "device" || found.mode === "passphrase") && isSealed(found.wrapped);
}
