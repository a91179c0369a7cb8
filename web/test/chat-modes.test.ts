// The mode selector of the chat: modes that can be asked for now and no other, none chosen by itself.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readModel } from "../src/chat/api.ts";
import { chosenMode, modeChoices } from "../src/chat/modes.ts";
import { requestHeaders } from "../src/chat/request.ts";
import { emptyConversation } from "../src/chat/tree.ts";

const told = {
  id: "digits",
  hallmark: {
    modes: ["replay", "tee"],
    by_mode: {
      tee: { available: true, free: 2, reason: "" },
      replay: { available: true, free: 0, reason: "" },
      vanilla: { available: false, free: 0, reason: "Vanilla answers come from nodes without an enclave." },
      zkml: { available: false, free: 0, reason: "Nothing makes zkml answers yet." },
    },
  },
};

test("only modes that a node can be asked for now are offered, behind one that asks for none", () => {
  const { modes } = readModel(told);
  assert.deepEqual(modeChoices(modes).map((one) => one.value), ["", "replay", "tee"]);
  assert.equal(modeChoices(modes)[0]?.words, "any of: replay, tee");
  assert.deepEqual(modeChoices(readModel({ id: "digits" }).modes), [{ value: "", words: "any" }]);
});

test("no mode is chosen unless somebody chose it, and one that is gone is not asked for", () => {
  const { modes } = readModel(told);
  assert.equal(emptyConversation("c", 1, "digits", "").mode, "");
  assert.equal(chosenMode(modes, ""), "");
  assert.equal(chosenMode(modes, "tee"), "tee");
  assert.equal(chosenMode(modes, "zkml"), "");
  assert.equal("hallmark-mode" in requestHeaders("n", "", chosenMode(modes, "zkml")), false);
  assert.equal(requestHeaders("n", "", chosenMode(modes, "tee"))["hallmark-mode"], "tee");
});
