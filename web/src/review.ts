// Entry of the review, sign-in and item pages: keys, and signatures. Everything else on them works without script.
import { readyKeyboard } from "./review/keyboard.ts";
import { readyForms } from "./review/signing.ts";

readyKeyboard();
void readyForms();
