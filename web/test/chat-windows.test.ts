// Several windows on the same conversations: nothing that one of them wrote is overwritten by another.
import assert from "node:assert/strict";
import { test } from "node:test";
import { asked } from "../src/chat/address.ts";
import { CannotOpen } from "../src/chat/crypto.ts";
import { memoryRecords, tagOf, type Records } from "../src/chat/database.ts";
import { Deleted, Library } from "../src/chat/library.ts";
import { merged } from "../src/chat/merge.ts";
import { add, change, emptyConversation, pathOf, remove, type Conversation } from "../src/chat/tree.ts";
import { Vault } from "../src/chat/vault.ts";
import { answered } from "./answers.ts";

const RECEIPT = `0x${"01".repeat(32)}`;

const begun = (): Conversation =>
  add(emptyConversation("c1", 1, "m", ""), { id: "q0", parent: "", role: "user", text: "begin", at: 2, answer: null });

/** A question under `parent` and its answer, as a window adds them. */
const asking = (conversation: Conversation, parent: string, name: string, receipt = RECEIPT): Conversation => {
  const question = { id: `q-${name}`, parent, role: "user", text: `ask ${name}`, at: 3, answer: null } as const;
  const answer = { id: `a-${name}`, parent: question.id, role: "assistant", text: `say ${name}`, at: 4 } as const;
  return add(add(conversation, question), { ...answer, answer: { ...answered(), receipt } });
};

const dossier = (salt: string, more = ""): string =>
  `{"format":"f","id":"${RECEIPT}","receipt":{"a":1},"documents":{}${salt === "" ? "" : `,"salts":"${salt}"`}${more}}`;

test("what two windows added to one conversation stands in it as branches, and each shows its own", () => {
  const base = begun();
  const [one, two] = [asking(base, "q0", "one"), asking(base, "q0", "two")];
  const both = merged(base, one, two);
  assert.deepEqual(Object.keys(both.messages).sort(), ["a-one", "a-two", "q-one", "q-two", "q0"]);
  assert.deepEqual(both.messages["q0"]?.children, ["q-one", "q-two"]);
  assert.deepEqual(pathOf(both).map((message) => message.id), ["q0", "q-two", "a-two"]);
  assert.deepEqual(pathOf(merged(base, two, one)).map((message) => message.id), ["q0", "q-one", "a-one"]);
});

test("a window that waits at the end follows what another one asks there", () => {
  const base = begun();
  assert.deepEqual(pathOf(merged(base, asking(base, "q0", "one"), base)).map(({ id }) => id), ["q0", "q-one", "a-one"]);
});

test("a deletion in one window stays a deletion, with what followed from it, whatever the other did meanwhile", () => {
  const base = asking(begun(), "q0", "one");
  const { conversation: without } = remove(base, "q-one");
  const went = asking(base, "a-one", "two");
  for (const both of [merged(base, without, went), merged(base, went, without)])
    assert.deepEqual(Object.keys(both.messages), ["q0"]);
});

test("an answer with a receipt is not replaced by what another window had of it before", () => {
  const waiting = asking(begun(), "q0", "one", "");
  const stopped = change(waiting, "a-one", { text: "", answer: { ...answered(), outcome: "stopped" } });
  const arrived = change(waiting, "a-one", { answer: { ...answered(), receipt: RECEIPT, arrivedAt: 5 } });
  const partly = change(waiting, "a-one", { text: "so far", answer: { ...answered(), outcome: "stopped" } });
  for (const [theirs, mine, text] of [
    [arrived, stopped, "say one"],
    [stopped, arrived, "say one"],
    [partly, stopped, "so far"],
  ] as const)
    assert.equal(merged(stopped, theirs, mine).messages["a-one"]?.text, text);
  const proved = change(arrived, "a-one", { answer: { ...answered(), receipt: RECEIPT, arrivedAt: 5, provedAt: 7 } });
  assert.equal(merged(arrived, proved, arrived).messages["a-one"]?.answer?.provedAt, 7);
});

test("what a window renamed or chose is kept beside what another one chose", () => {
  const base = begun();
  const both = merged(base, { ...base, title: "T", named: true }, { ...base, policy: "none" });
  assert.deepEqual([both.title, both.named, both.policy], ["T", true, "none"]);
});

/** Two windows of one browser that both opened the conversation. */
const opened = async (): Promise<[Records, Library, Library, string[]]> => {
  const records = memoryRecords();
  const told: string[] = [];
  const first = new Library(await Vault.of(records), (id) => told.push(id));
  await first.save(begun());
  const second = new Library(await Vault.of(records));
  await second.load();
  return [records, first, second, told];
};

test("two windows that ask at once both keep their answers with their salts", async () => {
  const [records, first, second, told] = await opened();
  const base = begun();
  await Promise.all([
    first.save(asking(base, "q0", "one"), { "a-one": dossier("1") }),
    second.save(asking(base, "q0", "two"), { "a-two": dossier("2") }),
  ]);
  const third = new Library(await Vault.of(records));
  assert.equal(await third.load(), 0);
  assert.deepEqual(Object.keys(third.get("c1")?.messages ?? {}).sort(), ["a-one", "a-two", "q-one", "q-two", "q0"]);
  assert.match((await third.dossier("a-one")) ?? "", /"salts": ?"1"/);
  assert.match((await third.dossier("a-two")) ?? "", /"salts": ?"2"/);
  assert.deepEqual(told, ["c1", "c1"]);
  await first.refresh("c1", () => undefined);
  assert.ok("a-two" in (first.get("c1")?.messages ?? {}));
});

test("what this window goes on to keep, from what it knew before it read the other's branch, deletes nothing of it", async () => {
  const [records, first, second] = await opened();
  await second.save(asking(begun(), "q0", "two"), { "a-two": dossier("2") });
  const mine = asking(begun(), "q0", "one");
  await Promise.all([first.save(mine), first.save(change(mine, "a-one", { text: "more" }))]);
  await Promise.all([first.refresh("c1", () => mine), first.save(change(mine, "a-one", { text: "all" }))]);
  const shown = await first.refresh("c1", () => mine);
  assert.ok(shown && "a-two" in shown.messages);
  const third = new Library(await Vault.of(records));
  await third.load();
  assert.deepEqual(Object.keys(third.get("c1")?.messages ?? {}).sort(), ["a-one", "a-two", "q-one", "q-two", "q0"]);
  assert.equal(third.get("c1")?.messages["a-one"]?.text, "all");
});

test("what another window deleted does not come back by what this one keeps later, nor is a new name taken back", async () => {
  const [, first, second] = await opened();
  const mine = asking(begun(), "q0", "one");
  await first.save(mine);
  await second.refresh("c1", () => undefined);
  await second.prune(second.get("c1") ?? begun(), "q-one");
  await first.refresh("c1", () => undefined);
  await first.save(mine);
  assert.deepEqual(Object.keys(first.get("c1")?.messages ?? {}), ["q0"]);
  await second.save({ ...begun(), title: "T", named: true });
  await Promise.all([first.save(begun()), first.save({ ...begun(), policy: "none" })]);
  const { title, policy } = first.get("c1") ?? begun();
  assert.deepEqual([title, policy], ["T", "none"]);
});

test("what the log shows to everybody never takes the place of a dossier with salts", async () => {
  const [, first, second] = await opened();
  await first.save(asking(begun(), "q0", "one"), { "a-one": dossier("1") });
  await second.refresh("c1", () => undefined);
  await second.keepDossier("a-one", dossier("", ',"entry":{"index":7}'));
  const kept = (await first.dossier("a-one")) ?? "";
  assert.match(kept, /"salts": ?"1"/);
  assert.match(kept, /"index":7/);
});

test("a conversation that another window deleted does not come back, nor do its salts", async () => {
  const [records, first, second] = await opened();
  await second.drop("c1");
  await assert.rejects(first.save(asking(begun(), "q0", "one"), { "a-one": dossier("1") }), Deleted);
  await first.keepDossier("a-one", dossier("1"));
  assert.deepEqual(await records.names("records"), []);
});

test("deleting a message deletes the branches that another window put under it", async () => {
  const [records, first, second] = await opened();
  await second.save(asking(begun(), "q0", "two"), { "a-two": dossier("2") });
  await first.prune(begun(), "q0");
  assert.deepEqual(await records.names("records"), ["conversation:c1"]);
});

test("a file that is older than what is here takes nothing away", async () => {
  const [, first] = await opened();
  await first.save(asking(begun(), "q0", "one"), { "a-one": dossier("1") });
  await first.take({ conversations: [begun()], dossiers: {} });
  assert.ok("a-one" in (first.get("c1")?.messages ?? {}));
});

test("a window whose key another one changed writes under the new one", async () => {
  const records = memoryRecords();
  const [one, two] = [await Vault.of(records), await Vault.of(records)];
  await one.put("a", "first");
  await two.rewrap("correct horse", 1000);
  await assert.rejects(one.put("b", "lost?"), CannotOpen);
  one.locked = () => one.unlock("correct horse");
  await one.put("b", "second");
  assert.deepEqual([await two.get("a"), await two.get("b"), await one.get("a")], ["first", "second", "first"]);
  await two.rewrap("", 1000);
  await one.put("c", "third");
  assert.deepEqual([one.mode, await two.get("c")], ["device", "third"]);
});

test("what is written while everything is sealed anew is sealed anew as well", async () => {
  const records = memoryRecords();
  const [one, two] = [await Vault.of(records), await Vault.of(records)];
  await one.put("a", "first");
  one.locked = () => one.unlock("correct horse");
  await Promise.all([two.rewrap("correct horse", 1000), one.put("a", "newer"), one.put("b", "second")]);
  assert.deepEqual([await two.get("a"), await two.get("b")], ["newer", "second"]);
});

test("two windows that are the first ones share one vault", async () => {
  const records = memoryRecords();
  const [one, two] = await Promise.all([Vault.of(records), Vault.of(records)]);
  await one.put("a", "words");
  assert.equal(await two.get("a"), "words");
});

test("a transaction whose record moved writes nothing", async () => {
  const records = memoryRecords();
  const value = { iv: new Uint8Array([1]), data: new Uint8Array([2]) };
  const write = { store: "records", name: "a", value } as const;
  assert.equal(await records.write([write], [{ store: "records", name: "a", tag: "" }]), true);
  assert.equal(await records.write([{ ...write, value: undefined }], [{ store: "records", name: "a", tag: "" }]), false);
  assert.equal(tagOf(await records.get("records", "a")), "1");
});

test("an address names a conversation, none, or nothing that can be one", () => {
  assert.deepEqual(
    ["", "#", "#c=0d-9", "#c=", "#c=a/b", "#m-1"].map(asked),
    ["", "", "0d-9", undefined, undefined, undefined],
  );
});
