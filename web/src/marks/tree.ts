// A small description of elements, rendered either as DOM or as text, so that drawings can be tested without a browser.

/** An element with attributes and children, or text. */
export type Tree =
  | string
  | { readonly tag: string; readonly attributes: Readonly<Record<string, string>>; readonly children: readonly Tree[] };

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "defs", "pattern", "path", "text"]);

/** An element description; children that are empty strings are left out. */
export function el(tag: string, attributes: Readonly<Record<string, string>>, ...children: readonly Tree[]): Tree {
  return { tag, attributes, children: children.filter((child) => child !== "") };
}

/** The DOM of a description; text stays text. */
export function toNode(tree: Tree): Node {
  if (typeof tree === "string") return document.createTextNode(tree);
  const node = DRAWN.has(tree.tag) ? document.createElementNS(SVG, tree.tag) : document.createElement(tree.tag);
  for (const [name, value] of Object.entries(tree.attributes)) node.setAttribute(name, value);
  node.append(...tree.children.map(toNode));
  return node;
}

/** The markup of a description, escaped: what the Jinja macro writes for the same marks. */
export function toMarkup(tree: Tree): string {
  if (typeof tree === "string") return escaped(tree);
  const attributes = Object.entries(tree.attributes)
    .map(([name, value]) => ` ${name}="${escaped(value)}"`)
    .join("");
  return `<${tree.tag}${attributes}>${tree.children.map(toMarkup).join("")}</${tree.tag}>`;
}

function escaped(text: string): string {
  return text
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/"/g, "&#34;")
    .replace(/'/g, "&#39;");
}
