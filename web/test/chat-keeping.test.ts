// What is kept: sealing, the vault, files, and the pinned trust file.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CannotOpen, importKey, open, passphraseKey, randomBytes, seal } from "../src/chat/crypto.ts";
import { isSealed, memoryRecords } from "../src/chat/database.ts";
import { encryptedFile, isEncrypted, NotImportable, plainFile, readFile, type Bundle } from "../src/chat/exporting.ts";
import { Library } from "../src/chat/library.ts";
import { acceptTrust, differences, pinOf, policyNames, settleTrust, waiverOf } from "../src/chat/trust.ts";
import { add, emptyConversation } from "../src/chat/tree.ts";
import { Vault } from "../src/chat/vault.ts";

const FEW = 1000;
const text = (data: Uint8Array): string => new TextDecoder().decode(data);
const bytes = (data: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(data);

const bundle = (): Bundle => {
  let conversation = add(emptyConversation("c1", 1, "m", ""), {
    id: "q1",
    parent: "",
    role: "user",
    text: "secret canary",
    at: 2,
    answer: null,
  });
  const answer = {
    outcome: "complete",
    model: "m",
    asserted: "",
    policy: "",
    nonce: "",
    receipt: "0x01",
    arrivedAt: 3,
    provedAt: 4,
    facts: null,
    trouble: null,
  } as const;
  conversation = add(conversation, { id: "a1", parent: "q1", role: "assistant", text: "told", at: 3, answer });
  return { conversations: [conversation], dossiers: { a1: '{"salts":1}' } };
};

test("what is sealed opens with its key at its place, and nowhere else", async () => {
  const key = await importKey(randomBytes(32));
  const sealed = await seal(key, "here", bytes("words"));
  assert.equal(text(await open(key, "here", sealed)), "words");
  await assert.rejects(open(key, "there", sealed), CannotOpen);
  await assert.rejects(open(await importKey(randomBytes(32)), "here", sealed), CannotOpen);
  sealed.data[0] = (sealed.data[0] ?? 0) ^ 1;
  await assert.rejects(open(key, "here", sealed), CannotOpen);
});

test("a passphrase gives one key per salt, and its bytes cannot be read", async () => {
  const salt = randomBytes(16);
  const sealed = await seal(await passphraseKey("p\u00e4ss", salt, FEW), "x", bytes("words"));
  assert.equal(text(await open(await passphraseKey("pa\u0308ss", salt, FEW), "x", sealed)), "words");
  await assert.rejects(open(await passphraseKey("p\u00e4ss", randomBytes(16), FEW), "x", sealed), CannotOpen);
  assert.equal((await passphraseKey("p", salt, FEW)).extractable, false);
});

test("a vault under a device key opens by itself, and its records are sealed", async () => {
  const records = memoryRecords();
  await (await Vault.of(records)).put("conversation:1", "secret canary");
  const again = await Vault.of(records);
  assert.equal(again.isOpen, true);
  assert.equal(await again.get("conversation:1"), "secret canary");
  const raw = await records.get("records", "conversation:1");
  assert.ok(isSealed(raw) && !text(raw.data).includes("canary"));
  assert.equal(((await records.get("keys", "device-key")) as CryptoKey).extractable, false);
});

test("with a passphrase the device key is gone, old records open with it alone, and another is refused", async () => {
  const records = memoryRecords();
  const vault = await Vault.of(records);
  await vault.put("a", "words");
  const before = await records.get("records", "a");
  await vault.rewrap("correct horse", FEW);
  assert.equal(await records.get("keys", "device-key"), undefined);
  assert.notDeepEqual(await records.get("records", "a"), before);
  const again = await Vault.of(records);
  assert.equal(again.isOpen, false);
  await assert.rejects(again.get("a"), CannotOpen);
  await assert.rejects(again.unlock("wrong horse"), CannotOpen);
  assert.equal(again.isOpen, false);
  await again.unlock("correct horse");
  assert.equal(await again.get("a"), "words");
  await again.rewrap("", FEW);
  assert.equal(await (await Vault.of(records)).get("a"), "words");
});

test("a vault whose passphrase is lost can be given up, and nothing is left in it", async () => {
  const records = memoryRecords();
  const vault = await Vault.of(records);
  await vault.put("a", "words");
  await vault.rewrap("lost", FEW);
  const again = await Vault.of(records);
  await again.reset();
  assert.equal(again.isOpen, true);
  assert.deepEqual(await records.names("records"), []);
});

test("deleting a message deletes its dossier and with it the salts", async () => {
  const records = memoryRecords();
  const library = new Library(await Vault.of(records));
  await library.take(bundle());
  const conversation = library.get("c1");
  assert.ok(conversation);
  await library.prune(conversation, "q1");
  assert.deepEqual(await records.names("records"), ["conversation:c1"]);
  assert.deepEqual(library.get("c1")?.roots, []);
});

test("deleting a conversation leaves nothing of it", async () => {
  const records = memoryRecords();
  const library = new Library(await Vault.of(records));
  await library.take(bundle());
  await library.keepDraft("c1", "typed");
  await library.drop("c1");
  assert.deepEqual(await records.names("records"), []);
});

test("a search finds every word in titles and texts", async () => {
  const library = new Library(await Vault.of(memoryRecords()));
  await library.take(bundle());
  assert.deepEqual([library.list("CANARY told").length, library.list("canary absent").length], [1, 0]);
});

test("a library read again is the same, and a record that cannot be read is counted and left", async () => {
  const records = memoryRecords();
  const vault = await Vault.of(records);
  await new Library(vault).take(bundle());
  await vault.put("conversation:bad", '{"id":"x"}');
  const again = new Library(await Vault.of(records));
  assert.equal(await again.load(), 1);
  assert.deepEqual(again.get("c1"), bundle().conversations[0]);
  assert.ok((await records.names("records")).includes("conversation:bad"));
});

test("a plain file says that it is plain and comes back whole", async () => {
  const file = plainFile(bundle());
  assert.match(file, /Not encrypted/);
  assert.equal(isEncrypted(file), false);
  assert.deepEqual(await readFile(file, ""), bundle());
});

test("an encrypted file shows nothing, opens with its passphrase, and with no other", async () => {
  const file = await encryptedFile(bundle(), "pass phrase", FEW);
  assert.ok(!file.includes("canary") && isEncrypted(file));
  assert.deepEqual(await readFile(file, "pass phrase"), bundle());
  await assert.rejects(readFile(file, "other"), CannotOpen);
});

test("files that do not hang together are refused", async () => {
  const cyclic = bundle();
  const messages = cyclic.conversations[0]?.messages ?? {};
  const loop = { ...messages, a1: { ...messages["a1"], children: ["q1"] } };
  const orphan = { ...messages, x: { ...messages["q1"], id: "x" } };
  for (const changed of [
    loop,
    orphan,
    { ...messages, q1: { ...messages["q1"], role: "system" } },
    { ...messages, q1: { ...messages["q1"], text: 5 } },
  ]) {
    const file = JSON.stringify({
      format: "hallmark.chat/1",
      conversations: [{ ...cyclic.conversations[0], messages: changed }],
      dossiers: {},
    });
    await assert.rejects(readFile(file, ""), NotImportable);
  }
  for (const file of [
    "",
    "[]",
    '{"format":"other"}',
    '{"format":"hallmark.chat/1"}',
    '{"format":"hallmark.chat.encrypted/1","rounds":1e99,"salt":"","iv":"","data":""}',
  ]) {
    await assert.rejects(async () => readFile(file, "x"), NotImportable);
  }
});

test("a trust file is pinned on first use, and another one is offered, never taken by itself", async () => {
  const records = memoryRecords();
  const [one, other] = [await pinOf('{"a":1,"policy":[]}', 1), await pinOf('{"a":2,"policy":[]}', 2)];
  assert.equal((await settleTrust(records, one)).first, true);
  const state = await settleTrust(records, other);
  assert.deepEqual([state.pin.text, state.offered?.text], [one.text, other.text]);
  assert.deepEqual(differences(one.text, other.text), ["a"]);
  await acceptTrust(records, other);
  assert.equal((await settleTrust(records, other)).offered, undefined);
  assert.equal((await settleTrust(records, one)).offered?.sha256, one.sha256);
});

test("policies are read from the trust file", () => {
  const trust = '{"policy":[{"name":"witnessed","not_required":["paid"]},{"name":5}]}';
  assert.deepEqual(policyNames(trust), ["witnessed", "5"]);
  assert.deepEqual(waiverOf(trust, "witnessed"), { name: "witnessed", not_required: ["paid"] });
  assert.equal(waiverOf(trust, "none"), undefined);
  assert.deepEqual(policyNames("broken"), []);
});
