// Markdown of an answer. What a model writes is text by a stranger: no raw HTML, no images, no attributes that could
// dress it up as a mark, and links that say where they lead.
import DOMPurify from "dompurify";
import { Marked } from "marked";

const TAGS = [
  "p",
  "br",
  "hr",
  "h1",
  "h2",
  "h3",
  "h4",
  "h5",
  "h6",
  "strong",
  "em",
  "del",
  "code",
  "pre",
  "blockquote",
  "ul",
  "ol",
  "li",
  "table",
  "thead",
  "tbody",
  "tr",
  "th",
  "td",
  "a",
];
const LINK = /^(?:https?|mailto):/i;

/** Where a link leads: its address, and its real host. */
export interface Link {
  readonly href: string;
  readonly host: string;
}

/** A link that may be followed, or nothing: only http, https and mailto, and only with a whole address. */
export function linkOf(href: string): Link | undefined {
  const bare = href.replace(/[\u0000-\u0020]/g, "");
  if (!LINK.test(bare)) return undefined;
  try {
    const url = new URL(bare);
    if (url.username !== "" || url.password !== "") return undefined;
    return { href: url.href, host: url.protocol === "mailto:" ? url.pathname : url.host };
  } catch {
    return undefined;
  }
}

/** HTML of markdown, before it is sanitised, and the languages that its code blocks name, in order. */
export function markdownHTML(text: string): { html: string; languages: string[] } {
  const languages: string[] = [];
  const marked = new Marked({
    gfm: true,
    async: false,
    renderer: {
      html: ({ text: raw }) => escaped(raw),
      image: ({ href, text: alt }) => escaped(`[image not loaded${alt === "" ? "" : `: ${alt}`}: ${href}]`),
      checkbox: ({ checked }) => (checked ? "[x] " : "[ ] "),
      code: ({ text: code, lang }) => {
        languages.push((lang ?? "").split(/\s/, 1)[0] ?? "");
        return `<pre><code>${escaped(code)}\n</code></pre>`;
      },
    },
  });
  return { html: marked.parse(text) as string, languages };
}

/** The sanitised DOM of markdown. `copy` makes the control that stands over a code block. */
export function renderMarkdown(text: string, copy: (code: string) => HTMLElement): DocumentFragment {
  const { html, languages } = markdownHTML(text);
  const fragment = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ["href", "start"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: LINK,
    RETURN_DOM_FRAGMENT: true,
  });
  // Classes and controls are added here, after sanitising: nothing in an answer can bring its own.
  for (const anchor of fragment.querySelectorAll("a")) settleLink(anchor);
  fragment.querySelectorAll("pre").forEach((block, at) => frameCode(block, languages[at] ?? "", copy));
  for (const table of fragment.querySelectorAll("table")) wrap(table, "c-wide");
  return fragment;
}

function settleLink(anchor: HTMLAnchorElement): void {
  const link = linkOf(anchor.getAttribute("href") ?? "");
  if (link === undefined) {
    anchor.replaceWith(...anchor.childNodes, " (link refused)");
    return;
  }
  anchor.href = link.href;
  anchor.target = "_blank";
  anchor.rel = "noopener noreferrer nofollow";
  const host = document.createElement("span");
  host.className = "c-host";
  host.textContent = ` (${link.host})`;
  anchor.append(host);
}

function frameCode(block: HTMLPreElement, language: string, copy: (code: string) => HTMLElement): void {
  const frame = wrap(block, "c-code");
  const head = document.createElement("div");
  head.className = "c-code-head";
  const name = document.createElement("span");
  name.textContent = language.slice(0, 24);
  head.append(name, copy(block.textContent));
  block.tabIndex = 0;
  frame.prepend(head);
}

function wrap(inner: HTMLElement, name: string): HTMLElement {
  const outer = document.createElement("div");
  outer.className = name;
  inner.replaceWith(outer);
  outer.append(inner);
  return outer;
}

function escaped(text: string): string {
  return text
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/"/g, "&quot;")
    .replace(/'/g, "&#39;");
}
