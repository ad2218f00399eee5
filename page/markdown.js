/* Markdown as answers have it, as elements: headings, lists, quotes, code, tables, emphasis, links
 * to http and https. What it does not know stays as it was written; nothing is parsed as HTML. */
import {h} from "./dom.js";

const INLINE = [
  [/^`([^`\n]+)`/, m => h("code", m[1])],
  [/^\*\*([^*\n](?:[^\n]*?[^*\n])?)\*\*/, m => h("strong", inline(m[1]))],
  [/^\*([^*\s](?:[^*\n]*[^*\s])?)\*/, m => h("em", inline(m[1]))],
  [/^~~([^~\n]+)~~/, m => h("del", inline(m[1]))],
  [/^\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)/, m => h("a", {href: m[2], target: "_blank",
    rel: "noopener noreferrer"}, m[1])],
];
const DEEPEST = 4; /* lists and quotes in each other */

function inline(text) {
  const out = [];
  let plain = "";
  while (text) {
    const found = INLINE.map(([pattern, make]) => [pattern.exec(text), make]).find(([m]) => m);
    if (found) {
      const [m, make] = found;
      out.push(plain, make(m));
      plain = "";
      text = text.slice(m[0].length);
    } else {
      const next = /[`*~[]/.exec(text.slice(1));
      const n = next ? next.index + 1 : text.length;
      plain += text.slice(0, n);
      text = text.slice(n);
    }
  }
  return [...out, plain];
}

function codeBlock(lines, i) {
  const fence = /^\s*(`{3,}|~{3,})\s*([\w+-]*)/.exec(lines[i]);
  const body = [];
  for (i++; i < lines.length && !lines[i].trim().startsWith(fence[1]); i++) body.push(lines[i]);
  const text = body.join("\n");
  const copy = h("button.small", {onclick: () => navigator.clipboard?.writeText(text)}, "Copy");
  return [h("div.code", h("div.code-head", h("small", fence[2]), copy),
            h("pre", {tabindex: "0"}, h("code", text))), i + 1];
}

const BULLET = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;

function list(lines, i, depth) {
  const first = BULLET.exec(lines[i]), indent = first[1].length;
  const ordered = /\d/.test(first[2]), items = [];
  for (; i < lines.length; i++) {
    const m = BULLET.exec(lines[i]);
    if (m && m[1].length <= indent + 1) {
      if (m[1].length < indent || /\d/.test(m[2]) !== ordered) break;
      items.push([m[3]]);
    } else if (lines[i].trim() === "" ? BULLET.test(lines[i + 1] ?? "")
               : lines[i].startsWith(" ".repeat(indent + 2))) {
      items.at(-1).push(lines[i].slice(indent + 2));
    } else {
      break;
    }
  }
  const made = items.map(item => h("li", item.length === 1 ? inline(item[0])
    : blocks(item, depth + 1)));
  return [ordered ? h("ol", {start: parseInt(first[2], 10)}, made) : h("ul", made), i];
}

const cells = line => line.trim().replace(/^\||\|$/g, "").split("|").map(c => c.trim());

function table(lines, i) {
  const head = cells(lines[i]), rows = [];
  for (i += 2; i < lines.length && lines[i].includes("|"); i++) rows.push(cells(lines[i]));
  return [h("div.scroll", h("table", h("thead", h("tr", head.map(c => h("th", inline(c))))),
    h("tbody", rows.map(row => h("tr", row.map(c => h("td", inline(c)))))))), i];
}

function isBlock(line, next = "") {
  return /^\s*(`{3,}|~{3,})|^#{1,6}\s|^>|^\s*([-*_])(\s*\2){2,}\s*$/.test(line) || BULLET.test(line)
    || line.includes("|") && /^[\s|:-]*-[\s|:-]*$/.test(next) && next.includes("|");
}

function blocks(lines, depth) {
  const out = [];
  for (let i = 0; i < lines.length;) {
    const line = lines[i], next = lines[i + 1] ?? "";
    let block;
    if (line.trim() === "") {
      i++;
      continue;
    }
    const heading = /^(#{1,6})\s+(.*?)\s*#*$/.exec(line);
    if (/^\s*(`{3,}|~{3,})/.test(line)) {
      [block, i] = codeBlock(lines, i);
    } else if (heading) {
      block = h(`h${Math.min(6, heading[1].length + 2)}`, inline(heading[2]));
      i++;
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      block = h("hr");
      i++;
    } else if (line.startsWith(">") && depth < DEEPEST) {
      const body = [];
      for (; i < lines.length && lines[i].startsWith(">"); i++)
        body.push(lines[i].replace(/^> ?/, ""));
      block = h("blockquote", blocks(body, depth + 1));
    } else if (BULLET.test(line) && depth < DEEPEST) {
      [block, i] = list(lines, i, depth);
    } else if (isBlock(line, next) && line.includes("|")) {
      [block, i] = table(lines, i);
    } else {
      const body = [line];
      for (i++; i < lines.length && lines[i].trim() && !isBlock(lines[i], lines[i + 1]); i++)
        body.push(lines[i]);
      block = h("p", body.flatMap((part, n) => n ? [h("br"), inline(part)] : [inline(part)]));
    }
    out.push(block);
  }
  return out;
}

/* The elements of a text. */
export const markdown = text => blocks(text.split("\n"), 0);
