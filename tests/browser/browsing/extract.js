// What a surface says, taken off its DOM: words with their lines, rows of marks, colours, signs. See claims/observed.py.
// `plan`: subjects (ids), main (the page's own subject or ""), assign ([selector, subject]...), quoted (selectors), words.
(plan) => {
  const ID = /0x[0-9a-f]{64}/g;
  const KNOWN = new Set(plan.subjects);
  const out = { runs: [], rows: [], paints: [], signs: [] };
  const seenPaints = new Set();
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const colours = new Map();
  const contexts = new Map();

  const rgba = (css) => {
    if (!colours.has(css)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = "rgba(0,0,0,0)";
      canvas.fillStyle = css;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      colours.set(css, [r, g, b, a / 255]);
    }
    return colours.get(css);
  };
  const hex = ([r, g, b]) => "#" + [r, g, b].map((part) => Math.round(part).toString(16).padStart(2, "0")).join("");
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (one, other) => {
    const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const parentOf = (el) => el.parentElement ?? (el.getRootNode() instanceof ShadowRoot ? el.getRootNode().host : null);
  const ground = (el) => {
    const layers = [];
    for (let at = el; at !== null; at = parentOf(at)) {
      const back = rgba(getComputedStyle(at).backgroundColor);
      if (back[3] > 0) layers.push(back);
      if (back[3] >= 1) break;
    }
    const base = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
    return layers.reduceRight((under, layer) => over(layer, under), base);
  };
  const where = (el) => {
    const parts = [];
    for (let at = el; at !== null && parts.length < 4 && at !== document.body; at = parentOf(at)) {
      const name = at.id ? `#${at.id}` : `${at.localName}${at.classList.length ? "." + at.classList[0] : ""}`;
      parts.unshift(name);
    }
    return parts.join(" > ");
  };
  const flat = (text) => text.replace(/\s+/g, " ").trim();
  const full = (el) => {
    if (contexts.has(el)) return contexts.get(el);
    const parts = [];
    const walk = (node) => {
      for (const child of node.childNodes) {
        if (child.nodeType === Node.TEXT_NODE) parts.push(child.data);
        else if (child.nodeType === Node.ELEMENT_NODE && !/^(script|style|template)$/.test(child.localName)) walk(child);
      }
      if (node.shadowRoot) walk(node.shadowRoot);
    };
    walk(el);
    contexts.set(el, flat(parts.join(" ")));
    return contexts.get(el);
  };
  const LINES = "tr, li, dl > div, p, h1, h2, h3, h4, h5, h6, caption, figcaption, label, blockquote, legend, summary, svg g";
  const context = (el) => {
    if (el.localName === "dd" && el.parentElement.localName === "dl") {
      let term = el.previousElementSibling;
      while (term && term.localName !== "dt") term = term.previousElementSibling;
      return flat(`${term ? full(term) : ""} ${full(el)}`);
    }
    const line = el.closest(LINES);
    return line === null ? full(el) : full(line);
  };
  const hidden = (el) => {
    for (let at = el; at !== null; at = parentOf(at)) {
      const style = getComputedStyle(at);
      if (style.display === "none" || style.visibility !== "visible" || style.opacity === "0") return true;
      if (/inset\((50|100)%/.test(style.clipPath) || /rect\((0|1)px/.test(style.clip)) return true;
      if (at.classList.contains("hm-marks")) break;
    }
    const box = el.getBoundingClientRect();
    return box.width <= 1 || box.height <= 1;
  };
  const say = (text, kind, el, state, extra = {}) => {
    const words = flat(text ?? "");
    if (words === "" || plan.words === false) return;
    // Buttons are the page's own, wherever they stand.
    const quoted = state.quoted && kind !== "pseudo" && !(kind === "control" && el.localName === "button" && !state.owned);
    out.runs.push({
      text: words, kind: quoted ? "quoted" : kind, context: context(el), subject: state.subject,
      question: state.question, where: where(el), ...extra,
    });
  };
  const paint = (property, css, el, state) => {
    const named = css === "auto" || css === "gradient";
    const value = named ? null : rgba(css);
    if (!named && value[3] < 0.05) return;
    const colour = named ? css : hex(value);
    const key = `${property} ${colour} ${state.question}`;
    if (seenPaints.has(key)) return;
    seenPaints.add(key);
    out.paints.push({ colour, property, subject: state.subject, question: state.question, where: where(el) });
  };
  const ownText = (el) => [...el.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== "");
  const paints = (el, style, state) => {
    if (ownText(el) && !(el instanceof SVGElement)) paint("color", style.color, el, state);
    paint("background", style.backgroundColor, el, state);
    if (style.backgroundImage.includes("gradient")) paint("background-image", "gradient", el, state);
    if (style.backgroundImage.includes("url(")) sign(el, state, style.backgroundImage);
    for (const side of ["Top", "Right", "Bottom", "Left"]) {
      if (style[`border${side}Style`] !== "none" && parseFloat(style[`border${side}Width`]) > 0) paint("border", style[`border${side}Color`], el, state);
    }
    if (style.outlineStyle !== "none" && style.outlineStyle !== "auto" && parseFloat(style.outlineWidth) > 0) paint("outline", style.outlineColor, el, state);
    if (style.textDecorationLine !== "none" && ownText(el)) paint("text-decoration", style.textDecorationColor, el, state);
    if (el.localName === "input" && /^(checkbox|radio|range)$/.test(el.type) && style.appearance !== "none") paint("accent-color", style.accentColor, el, state);
    if (el instanceof SVGGeometryElement || el instanceof SVGTextElement) {
      for (const property of ["fill", "stroke"]) {
        if (style[property] !== "none" && !style[property].startsWith("url(")) paint(property, style[property], el, state);
      }
    }
  };
  const pseudo = (el, state) => {
    if (el instanceof SVGElement) return;
    for (const name of ["::before", "::after"]) {
      const style = getComputedStyle(el, name);
      if (style.content === "none" || style.content === "normal" || style.content === '""') continue;
      say(style.content.replace(/^"|"$/g, ""), "pseudo", el, state);
      paint("color", style.color, el, state);
    }
  };
  const sign = (el, state, more = "") => {
    const names = ["class", "id", "aria-label", "title", "alt", "src", "href", "role", "data-icon"].map((name) => el.getAttribute(name) ?? "");
    const inner = [...el.querySelectorAll?.("title, use, symbol") ?? []].map((one) => `${one.textContent} ${one.getAttribute("href") ?? ""} ${one.id}`);
    out.signs.push({
      names: flat([...names, ...inner, more].join(" ")), tag: el.getAttribute("role") === "progressbar" ? "progressbar" : el.getAttribute("role") === "meter" ? "meter" : el.localName,
      subject: state.subject, question: state.question, where: where(el),
    });
  };

  const solidOf = (svg) => {
    const back = rgba(getComputedStyle(svg).backgroundColor);
    if (back[3] > 0.3) return true;
    const shapes = [...svg.querySelectorAll("path, rect, circle, ellipse, polygon")].filter((shape) => shape.closest("defs") === null);
    const boxes = shapes.map((shape) => shape.getBBox());
    const wide = Math.max(0, ...boxes.map((box) => box.width));
    const high = Math.max(0, ...boxes.map((box) => box.height));
    return shapes.some((shape, i) => {
      const style = getComputedStyle(shape);
      if (style.fill === "none" || style.fill.startsWith("url(")) return false;
      const opaque = rgba(style.fill)[3] * parseFloat(style.fillOpacity) > 0.3;
      return opaque && boxes[i].width > 0.75 * wide && boxes[i].height > 0.75 * high;
    });
  };
  const hatchedOf = (svg) => [...svg.querySelectorAll("path, rect, circle")].some((shape) => {
    const named = /url\("?#([^")]+)"?\)/.exec(getComputedStyle(shape).fill);
    return named !== null && svg.querySelector(`pattern[id="${CSS.escape(named[1])}"]`) !== null;
  });
  const struck = (el) => {
    const part = (name) => el.querySelector(`:scope > .${name}`);
    const text = (name) => flat(part(name)?.textContent ?? "");
    const svg = part("hm-cartouche");
    const word = part("hm-word");
    const style = getComputedStyle(el);
    const back = ground(el);
    const box = svg?.getBoundingClientRect();
    const shown = new Set();
    for (const one of el.querySelectorAll("*")) {
      const its = getComputedStyle(one);
      if (rgba(its.backgroundColor)[3] > 0.05) shown.add(hex(rgba(its.backgroundColor)));
      if (ownText(one) && !(one instanceof SVGElement)) shown.add(hex(rgba(its.color)));
      if (!(one instanceof SVGElement)) continue;
      for (const property of ["fill", "stroke"]) {
        const value = its[property];
        if (one instanceof SVGGraphicsElement && one.localName !== "svg" && value !== "none" && !value.startsWith("url(")) shown.add(hex(rgba(value)));
      }
    }
    let opacity = 1;
    for (let at = svg; at !== null && !at.classList.contains("hm-marks"); at = at.parentElement) opacity *= parseFloat(getComputedStyle(at).opacity);
    const loose = [...el.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join(" ");
    const letters = flat(svg?.textContent ?? "");
    const qualifiers = [part("hm-assurance"), part("hm-assertion")].filter((one) => one !== null);
    const wordStyle = word === null ? null : getComputedStyle(word);
    return {
      question: el.dataset.question ?? "", state: el.dataset.state ?? "", word: text("hm-word"), label: el.getAttribute("aria-label") ?? "",
      title: el.getAttribute("title") ?? "", name: text("hm-name"), assurance: text("hm-assurance"), assertion: text("hm-assertion"),
      colours: [hex(rgba(style.color)), ...shown], solid: svg !== null && solidOf(svg), hatched: svg !== null && hatchedOf(svg),
      word_hidden: word === null || hidden(word), qualifier_hidden: qualifiers.some(hidden),
      size: box?.height ?? 0, font: parseFloat(wordStyle?.fontSize ?? "0"),
      contrast: wordStyle === null ? 0 : contrast(over(rgba(wordStyle.color), ground(word)), ground(word)),
      outline: contrast(over(rgba(style.color), back), back), opacity, top: box?.top ?? 0, left: box?.left ?? 0,
      rest: flat(`${loose} ${letters.length > 1 ? letters : ""}`), parts: [...el.children].map((child) => child.classList[0] ?? child.localName),
      markup: el.outerHTML.replace(/hm-hatch-[\w-]+/g, "H").replace(/ (data-struck|tabindex)="[^"]*"/g, ""),
    };
  };
  const row = (el, state) => {
    const marks = [...el.children].map(struck);
    out.rows.push({ subject: state.subject, single: el.classList.contains("hm-one"), visible: !hidden(el), where: where(el), marks });
  };

  const subjectOf = (el, state) => {
    for (const [selector, subject] of plan.assign) if (el.matches(selector)) return subject;
    const own = ["data-item", "data-receipt", "data-subject", "receipt"].map((name) => el.getAttribute(name)).find((id) => id !== null && KNOWN.has(id));
    if (own !== undefined) return own;
    if (el.matches("tr, li, article, [data-row]")) {
      const found = new Set();
      for (const link of el.querySelectorAll("a[href]")) for (const id of link.getAttribute("href").match(ID) ?? []) if (KNOWN.has(id)) found.add(id);
      if (found.size === 1) return [...found][0];
    }
    return state.subject;
  };
  const NAMED = { title: "title", "aria-label": "label", "aria-description": "label", "aria-roledescription": "label", "aria-valuetext": "label", alt: "alt", placeholder: "placeholder" };
  const isInline = (style) => /^(inline|contents|ruby|none)/.test(style.display);

  const visit = (el, before, line) => {
    if (/^(script|style|template|noscript|defs)$/.test(el.localName)) return;
    if (el.localName === "br") line.text += " | ";
    const style = getComputedStyle(el);
    const state = { ...before };
    // The foot of a page hands on what the page is about.
    if (state.inMain || el.localName === "main" || el.localName === "footer") {
      if (!state.inMain) state.subject = plan.main;
      state.inMain = true;
      state.subject = subjectOf(el, state);
    }
    if (plan.quoted.some((selector) => el.matches(selector))) state.quoted = true;
    if (plan.owned.some((selector) => el.matches(selector))) state.quoted = state.owned = true;
    if (el.classList.contains("hm-marks")) row(el, state);
    const mark = el.classList.contains("hm-mark");
    if (mark) state.question = el.dataset.question ?? "?";
    for (const [name, kind] of Object.entries(NAMED)) if (el.hasAttribute(name)) say(el.getAttribute(name), kind, el, state);
    if (el.matches('a[href], button, [role="button"], input[type="submit"], input[type="button"], summary')) {
      const name = el.getAttribute("aria-label") ?? (el.localName === "input" ? el.value : full(el));
      say(name, "control", el, state, { context: "" });
    }
    if (plan.paints) paints(el, style, state);
    if (plan.paints) pseudo(el, state);
    if (/^(svg|img|i|picture|canvas|progress|meter|video|object)$/.test(el.localName) || el.matches('[class*="icon"], [class*="badge"], [role="progressbar"], [role="meter"], [role="img"]')) {
      if (!el.classList.contains("hm-cartouche")) sign(el, state);
    }
    if (el.classList.contains("hm-word")) say(el.textContent, "word", el, state);
    const drawn = el instanceof SVGElement;
    const block = mark || (drawn ? el.localName === "text" || el.localName === "title" || el.localName === "desc" : !isInline(style));
    const own = block ? { text: "", el } : line;
    for (const child of [...el.childNodes, ...(el.shadowRoot ? el.shadowRoot.childNodes : [])]) {
      if (child.nodeType === Node.TEXT_NODE) own.text += child.data;
      else if (child.nodeType === Node.ELEMENT_NODE) visit(child, state, own);
      if (child.nodeType === Node.ELEMENT_NODE && !isInline(getComputedStyle(child))) own.text += " | ";
    }
    if (block) say(own.text.replace(/(\s*\|\s*)+/g, " | ").replace(/^[\s|]+|[\s|]+$/g, ""), drawn ? "drawing" : "text", el, state);
  };
  const start = { subject: plan.inMain ? plan.main : "", question: "", quoted: false, inMain: plan.inMain ?? false };
  const top = { text: "", el: document.body };
  visit(document.body, start, top);
  const named = { ...start, subject: plan.main };
  say(document.title, "document", document.body, named, { context: document.title });
  for (const meta of document.head.querySelectorAll('meta[name="description"], meta[property^="og:"]')) say(meta.content, "document", document.body, named, { context: meta.content });
  return JSON.stringify(out);
}
