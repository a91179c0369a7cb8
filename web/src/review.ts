// Entry of the review, sign-in and item pages: keys, and signatures. Everything else on them works without script.
import { readyKeyboard } from "./review/keyboard.ts";
import { readyForms } from "./review/signing.ts";

readyKeyboard();
// The verifier is large, and only an item's page needs it.
if (document.querySelector("[data-open-receipt]") !== null) void import("./review/opening.ts").then(({ readyOpening }) => readyOpening());
void readyForms();
