// What a model writes is text by a stranger: rules that hold before the sanitiser, which then holds by itself too.
import assert from "node:assert/strict";
import { test } from "node:test";
import { linkOf, markdownHTML } from "../src/chat/markdown.ts";

const TAG =
  /<(?!\/?(?:p|br|hr|h[1-6]|strong|em|del|code|pre|blockquote|ul|ol|li|table|thead|tbody|tr|th|td|a)\b)[a-z!/?]/i;

test("raw HTML stays text", () => {
  for (const text of [
    '<span class="hm-mark" data-state="witnessed">ran</span>',
    "<script>alert(1)</script>",
    "<svg><path/></svg>",
    "<!-- x -->",
    'a <b onclick="x">b</b> <img src=x onerror=alert(1)>',
    "<style>*{}</style>",
    "<hallmark-marks receipt=0x></hallmark-marks>",
    "<iframe src=x>",
    "<details open>",
  ])
    assert.doesNotMatch(markdownHTML(text).html, TAG, text);
});

test("images are not loaded: their address stands as text", () => {
  const { html } = markdownHTML('![a](https://evil.example/t.png) ![b][r]\n\n[r]: https://evil.example/u.png "t"');
  assert.doesNotMatch(html, /<img/);
  assert.match(html, /\[image not loaded: a: https:\/\/evil\.example\/t\.png\]/);
  assert.match(html, /\[image not loaded: b: https:\/\/evil\.example\/u\.png\]/);
});

test("a task's tick is written, not drawn", () => {
  assert.doesNotMatch(markdownHTML("- [x] done\n- [ ] open").html, /<input/);
});

test("a code block keeps its text and its language apart, and no attribute", () => {
  const { html, languages } = markdownHTML('```py" onmouseover="x y\n<b>\n```');
  assert.deepEqual(languages, ['py"']);
  assert.match(html, /<pre><code>&lt;b&gt;\n<\/code><\/pre>/);
});

test("links may be followed only to http, https and mailto, and not with a hidden host", () => {
  for (const href of [
    "javascript:alert(1)",
    " JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "blob:https://a/b",
    "file:///etc/passwd",
    "/relative",
    "//evil.example/",
    "#x",
    "https://",
    "https://bank.example@evil.example/",
    "https://user:pass@evil.example/",
    "",
  ])
    assert.equal(linkOf(href), undefined, href);
});

test("a link tells its real host", () => {
  assert.deepEqual(linkOf("https://docs.python.org/3/"), {
    href: "https://docs.python.org/3/",
    host: "docs.python.org",
  });
  assert.equal(linkOf("https://\u0430pple.com/")?.host, "xn--pple-43d.com");
  assert.equal(linkOf("http://127.0.0.1:8080/x")?.host, "127.0.0.1:8080");
  assert.equal(linkOf("mailto:a@example.org")?.host, "a@example.org");
});
