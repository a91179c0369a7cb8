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
import { isSealed, type Records, type Write } from "./database.ts";

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

/** Sealed records under one data key. `open` is false until a passphrase is given. */
export class Vault {
  mode: Mode;
  private readonly records: Records;
  private key: CryptoKey | undefined;

  private constructor(records: Records, mode: Mode, key: CryptoKey | undefined) {
    this.records = records;
    this.mode = mode;
    this.key = key;
  }

  /** The vault of this device; the first time one is made, under a device key. */
  static async of(records: Records): Promise<Vault> {
    const found = await records.get("keys", VAULT);
    if (!isVault(found)) {
      const { key, writes } = await fresh("device", "", ROUNDS);
      await records.write(writes);
      return new Vault(records, "device", key);
    }
    if (found.mode === "passphrase") return new Vault(records, "passphrase", undefined);
    const device = await records.get("keys", DEVICE);
    if (!(device instanceof CryptoKey)) throw new CannotOpen();
    return new Vault(records, "device", await importKey(await open(device, WRAP, found.wrapped)));
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
  }

  /** Seals everything anew under a new data key, wrapped by `passphrase`, or by a new device key if it is empty. */
  async rewrap(passphrase: string, rounds = ROUNDS): Promise<void> {
    const mode: Mode = passphrase === "" ? "device" : "passphrase";
    const { key, writes } = await fresh(mode, passphrase, rounds);
    const moved: Write[] = [];
    for (const name of await this.records.names("records")) {
      const sealed = await this.records.get("records", name);
      if (!isSealed(sealed)) continue;
      moved.push({ store: "records", name, value: await seal(key, name, await open(this.opened(), name, sealed)) });
    }
    await this.records.write([...writes, ...moved]);
    this.key = key;
    this.mode = mode;
  }

  /** Deletes everything that is kept and begins anew under a device key: for a passphrase that is lost. */
  async reset(): Promise<void> {
    const { key, writes } = await fresh("device", "", ROUNDS);
    const names = await this.records.names("records");
    await this.records.write([
      ...writes,
      ...names.map((name): Write => ({ store: "records", name, value: undefined })),
    ]);
    this.key = key;
    this.mode = "device";
  }

  /** Seals and keeps a text. */
  async put(name: string, text: string): Promise<void> {
    const value = await seal(this.opened(), name, new TextEncoder().encode(text));
    await this.records.write([{ store: "records", name, value }]);
  }

  /** A kept text, or undefined. Throws CannotOpen when it was changed. */
  async get(name: string): Promise<string | undefined> {
    const sealed = await this.records.get("records", name);
    return isSealed(sealed) ? new TextDecoder().decode(await open(this.opened(), name, sealed)) : undefined;
  }

  /** Names that begin with `prefix`. */
  async names(prefix: string): Promise<string[]> {
    return (await this.records.names("records")).filter((name) => name.startsWith(prefix));
  }

  /** Deletes records for good, salts included. */
  async delete(names: readonly string[]): Promise<void> {
    await this.records.write(names.map((name): Write => ({ store: "records", name, value: undefined })));
  }

  private opened(): CryptoKey {
    if (this.key === undefined) throw new CannotOpen();
    return this.key;
  }
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
