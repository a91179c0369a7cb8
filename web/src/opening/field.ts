// The field by which a person gives a file: chosen, dropped, or pasted as text. It has no name, so no form ever sends it.
import { h, on } from "../chat/view/dom.ts";

const MOST = 96 << 20;
let count = 0;

/** What a field is called and takes; `take` gets the bytes and the name, and says itself what is wrong with them. */
export interface FieldOptions {
  readonly label: string;
  readonly help: string;
  readonly accept: string;
  readonly pasted: string;
  take(data: Uint8Array<ArrayBuffer>, name: string): Promise<void>;
  failed(sentence: string): void;
}

/** The field: a file input in a place to drop on, and below it a text to paste, both reached by keyboard. */
export function fileField(options: FieldOptions): HTMLElement {
  const id = `open-field-${(count += 1)}`;
  const input = h("input", { type: "file", id, accept: options.accept, "aria-describedby": `${id}-help` });
  const text = h("textarea", { id: `${id}-text`, rows: "4", spellcheck: "false", autocomplete: "off" });
  const given = async (files: FileList | null | undefined): Promise<void> => {
    const file = files?.[0];
    if (file === undefined) return;
    if (files && files.length > 1) return options.failed("More than one file was given: give one at a time.");
    if (file.size > MOST) return options.failed(`The file is too large: at most ${MOST >> 20} MiB are read.`);
    await options.take(new Uint8Array(await file.arrayBuffer()), file.name);
  };
  on(input, { change: () => void given(input.files).finally(() => (input.value = "")) });
  const read = h("button", { type: "button", class: "second" }, options.pasted);
  on(read, { click: () => void options.take(new TextEncoder().encode(text.value), "what was pasted") });
  const zone = h(
    "div",
    { class: "drop-zone" },
    h("label", { for: id }, options.label),
    h("p", { class: "help", id: `${id}-help` }, options.help),
    input,
    h("details", {}, h("summary", {}, "Or paste its text"), h("label", { class: "hidden", for: text.id }, `${options.label}, as text`), text, read),
  );
  const over = (event: DragEvent, inside: boolean): void => {
    event.preventDefault();
    zone.toggleAttribute("data-over", inside);
  };
  return on(zone, {
    dragover: (event) => over(event, true),
    dragleave: (event) => over(event, false),
    drop: (event) => {
      over(event, false);
      void given(event.dataTransfer?.files);
    },
  });
}
