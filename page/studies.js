/* Studies, as they run: matrices of tasks and variants that a study made on this daemon, sweeps of
 * one adapter's settings, and a study's own file, dropped here. */
import {addressOf} from "./actions.js";
import {h, icon, keyed, setClass, setHidden, setText} from "./dom.js";
import {number, percent, plural, score} from "./format.js";
import {fileJson, openJob, store, watch} from "./store.js";
import {attempt, badge, empty, setBadge} from "./ui.js";

/* A lift as one of seven colours, from -3 to 3. */
function shade(lift) {
  const size = Math.abs(lift);
  const step = size < 0.005 ? 0 : size < 0.1 ? 1 : size < 0.3 ? 2 : 3;
  return `lift${lift < 0 && step ? "-" : ""}${step}`;
}

const lifted = lift => `${lift >= 0 ? "+" : "−"}${Math.abs(lift).toFixed(3)}`;

/* What a cell shows: {href, state, progress, score, base, reason}. */
function fillCell(cell, c) {
  const known = c?.score != null && c.base != null;
  setClass(cell, c === undefined ? "soft" : known ? shade(c.score - c.base) : "waits");
  setText(cell.main, c === undefined ? "–" : c.score != null ? score(c.score)
    : c.progress ? percent(c.progress) : c.state);
  setText(cell.note, known ? `${lifted(c.score - c.base)} on ${score(c.base)}` : c?.reason ?? "");
  if (c?.href) cell.main.href = c.href;
}

/* A table of rows and columns whose cells change in place. */
function matrix(title) {
  const head = h("tr"), body = h("tbody"), note = h("p.soft");
  const element = h("section.card", h("h2", title), note,
    h("div.scroll", h("table.study", h("thead", head), body)));
  element.show = (rows, columns, cellOf, words) => {
    setText(note, words);
    const names = columns.join("\n");
    if (names !== element.names) {
      element.names = names;
      head.replaceChildren(h("th", {scope: "col"}, "Task"),
                           ...columns.map(c => h("th", {scope: "col"}, c || "as it is")));
      body.replaceChildren();
    }
    const lines = element.lines ??= new Map();
    for (const task of rows) {
      let line = lines.get(task);
      if (!line || line.names !== names) {
        line = h("tr", h("th", {scope: "row"}, task), columns.map(() => {
          const main = h("a"), small = h("small");
          return Object.assign(h("td", main, small), {main, note: small});
        }));
        line.names = names;
        lines.get(task)?.remove();
        lines.set(task, line);
        body.append(line);
      }
      columns.forEach((column, i) => fillCell(line.children[i + 1], cellOf(task, column)));
    }
  };
  return element;
}

/* ---- Studies on this daemon: adapters that are called STUDY.TASK or STUDY.TASK.VARIANT */

function studiesHere() {
  const out = new Map();
  for (const a of store.adapters.values()) {
    const [study, task, ...variant] = a.name.split(".");
    if (!task) continue;
    if (!out.has(study)) out.set(study, {tasks: new Set(), variants: new Set(), cells: new Map()});
    const s = out.get(study);
    s.tasks.add(task);
    s.variants.add(variant.join("."));
    s.cells.set(`${task}\n${variant.join(".")}`, a);
  }
  for (const [name, s] of out) if (s.cells.size < 2) out.delete(name);
  return out;
}

function cellHere(a) {
  if (!a) return undefined;
  const job = openJob(a.name);
  return {href: addressOf(a.name), state: a.state,
          progress: job?.steps ? job.step / job.steps : 0,
          score: a.state === "ready" ? a.score : null, base: a.base_score};
}

/* ---- Sweeps */

function sweepCard(a) {
  const body = h("tbody"), note = h("p.soft");
  const element = h("section.card", h("h2", h("a", {href: addressOf(a.name)}, a.name), ": a sweep"),
    note, h("div.scroll", h("table", h("thead", h("tr", h("th", "Settings"), h("th", "State"),
      h("th.num", "Step"), h("th.num", "Loss"), h("th.num", "Eval loss"))), body)));
  let stamp = "";
  element.update = now => {
    const at = String(now.files["sweep.json"]);
    if (at === stamp) return;
    stamp = at;
    attempt(async () => {
      const sweep = await fileJson(now.name, "sweep.json");
      const list = sweep?.trials ?? [];
      setText(note, `${plural(list.length, "training")} side by side`);
      keyed(body, list, t => t.trial, () => h("tr", h("td"), h("td", badge("queued")), h("td.num"),
        h("td.num"), h("td.num")), (row, t) => {
        const [settings, state, step, loss, evalLoss] = row.children;
        setText(settings, Object.entries(t.settings).map(([k, v]) => `${k} ${v}`).join(", "));
        setBadge(state.firstChild, t.state);
        if (t.trial === sweep.best) setText(state.firstChild, "the best");
        setText(step, `${number(t.step)} of ${number(t.steps)}`);
        setText(loss, score(t.loss));
        setText(evalLoss, score(t.eval_loss));
      });
    });
  };
  return element;
}

/* ---- A study's folder: its status.json or results.csv */

function readCsv(text) {
  const [head, ...lines] = text.trim().split(/\r?\n/).map(l => l.split(","));
  return {title: "A study's results", cells: lines.map(l => {
    const row = Object.fromEntries(head.map((name, i) => [name, l[i]]));
    return {...row, state: "done", base_score: parseFloat(row.base_score),
            tuned_score: parseFloat(row.tuned_score)};
  })};
}

async function readStudy(file) {
  const text = await file.text();
  const study = text.trimStart().startsWith("{") ? JSON.parse(text) : readCsv(text);
  if (!Array.isArray(study.cells) || !study.cells.every(c => c.base && c.task))
    throw new Error(`${file.name} is neither a study's status.json nor its results.csv`);
  return study;
}

function showFile(study) {
  const cells = new Map(study.cells.map(c => [`${c.task}\n${c.base}`, c]));
  const card = matrix(study.title || study.name);
  const done = study.cells.filter(c => Number.isFinite(c.tuned_score));
  const lift = done.reduce((sum, c) => sum + c.tuned_score - c.base_score, 0) / (done.length || 1);
  card.show([...new Set(study.cells.map(c => c.task))], [...new Set(study.cells.map(c => c.base))],
    (task, base) => {
      const c = cells.get(`${task}\n${base}`);
      return c && {state: c.state, progress: c.progress, reason: c.reason,
        score: Number.isFinite(c.tuned_score) ? c.tuned_score : null, base: c.base_score};
    }, `${number(done.length)} of ${plural(study.cells.length, "cell")} done, mean lift `
       + lifted(lift));
  return card;
}

export default function studies() {
  const cards = h("div.stack"), sweeps = h("div.stack"), opened = h("div.stack");
  const none = empty("No study on this daemon",
    "lorafs land run --url makes one here; several values for a setting make a sweep. A study that "
    + "ran elsewhere can be opened: its status.json or results.csv.");
  const pick = h("input.hidden", {type: "file", accept: ".json,.csv",
    "aria-label": "A study's file", onchange: () => open(pick.files[0])});

  const open = file => file && attempt(async () => {
    opened.replaceChildren(showFile(await readStudy(file)));
    setHidden(none, true);
  });

  function draw() {
    const here = studiesHere();
    const swept = [...store.adapters.values()].filter(a => "sweep.json" in a.files);
    keyed(cards, [...here], ([name]) => name, ([name]) => matrix(name), (card, [, s]) => {
      const done = [...s.cells.values()].filter(a => a.state === "ready").length;
      card.show([...s.tasks].sort(), [...s.variants].sort(),
        (task, variant) => cellHere(s.cells.get(`${task}\n${variant}`)),
        `${number(done)} of ${plural(s.cells.size, "cell")} ready; score, and lift on the base's`);
    });
    keyed(sweeps, swept, a => a.name, sweepCard, (card, a) => card.update(a));
    setHidden(none, !store.asked || here.size + swept.length + opened.children.length > 0);
  }

  const element = h("section.view", {ondragover: e => e.preventDefault(), ondrop: e => {
    e.preventDefault();
    open(e.dataTransfer.files[0]);
  }}, h("div.view-head", h("h1", "Studies"), h("div.tools", pick,
    h("button", {onclick: () => pick.click()}, icon("upload"), "Open a study's file"))),
  none, cards, sweeps, opened);
  return {title: "Studies", element, close: watch(draw)};
}
