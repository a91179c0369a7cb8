// Entry of /assets/hallmark-marks.js, which other sites embed: docs/embed.md.
import { defineMarks } from "./marks/element.ts";

defineMarks(new URL(import.meta.url).origin);
