// The drawing of the component and the chat, handed marks by a test. Never shipped: the component itself takes none.
import { renderMarks, updateMarks, type MarksView, type RowOptions } from "../../../web/src/marks/draw.ts";

/** One row that a test asks for. */
interface Asked {
  readonly id: string;
  readonly marks: MarksView;
  readonly options: RowOptions;
}

declare global {
  interface Window {
    /** Draws rows into the page, each in an element that names its subject; `twice` redraws them as other rows first. */
    drawRows(rows: readonly Asked[], twice: boolean): void;
  }
}

window.drawRows = (rows, twice) => {
  const main = document.querySelector("main");
  if (main === null) return;
  const drawn = rows.map(({ id, marks, options }, place) => {
    const before = rows[(place + 1) % rows.length];
    const row = renderMarks(twice && before !== undefined ? before.marks : marks, options);
    if (twice) updateMarks(row, marks, options);
    const line = document.createElement("div");
    line.setAttribute("data-item", id);
    line.append(row);
    return line;
  });
  main.replaceChildren(...drawn);
};
