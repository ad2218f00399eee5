/* Which class was taken for which, of a version that was scored on labels. */
import {servedFile} from "./details.js";
import {h} from "./dom.js";
import {number, percent, score} from "./format.js";
import {fileJson} from "./store.js";
import {attempt, empty} from "./ui.js";

const SHADES = 6;

function matrix({labels, matrix: rows}) {
  const sums = rows.map(row => row.reduce((a, b) => a + b, 0));
  const cell = (n, i, j) => {
    const part = sums[i] ? n / sums[i] : 0;
    const shade = n === 0 ? 0 : Math.max(1, Math.ceil(part * SHADES));
    const right = i === j ? ".right" : "";
    return h(`td.num.shade${shade}${right}`, {title: `${labels[i]} answered as `
      + `${labels[j] ?? "something else"}: ${n}, ${percent(part)}`}, number(n));
  };
  return h("div.scroll", h("table.confusion", h("caption", "Rows: expected. Columns: answered."),
    h("thead", h("tr", h("td"), labels.map(l => h("th", {scope: "col"}, l)),
      h("th", {scope: "col"}, "something else"))),
    h("tbody", rows.map((row, i) => h("tr", h("th", {scope: "row"}, labels[i]),
      row.map((n, j) => cell(n, i, j)))))));
}

function classes({labels, classes: list}) {
  return h("div.scroll", h("table", h("thead", h("tr", h("th", "Class"), h("th.num", "Precision"),
    h("th.num", "Recall"), h("th.num", "F1"), h("th.num", "Rows"))),
  h("tbody", list.map((c, i) => h("tr", h("th", {scope: "row"}, c.label ?? labels[i]),
    [c.precision, c.recall, c.f1].map(x => h("td.num", score(x))),
    h("td.num", number(c.support)))))));
}

function one(title, part) {
  if (!part?.confusion) return null;
  const c = part.confusion;
  return h("section.card", h("h2", title),
    h("p.facts", `accuracy ${score(c.accuracy)} · macro F1 ${score(c.macro_f1)} · weighted F1 `
      + score(c.weighted_f1)), matrix(c), classes(c));
}

export default function confusion(name) {
  const body = h("div.stack");
  let stamp = null;
  return {update: a => {
    const file = servedFile(a, "metrics.json"), now = `${file} ${a.files[file]}`;
    if (now === stamp) return;
    stamp = now;
    attempt(async () => {
      const report = await fileJson(name, file);
      const parts = [one(`Version ${report?.version ?? ""}`, report?.eval),
                     one("The base", report?.base)].filter(Boolean);
      body.replaceChildren(...parts.length ? parts : [empty("No confusion matrix",
        "There is one where eval.jsonl's answers are labels and a version was scored on them.")]);
    });
  }, element: h("div.part", body)};
}
