/* The list of adapters. */
import {addressOf, cloneAdapter, createAdapter, removeAdapters, renameAdapter} from "./actions.js";
import {detailsOf, sparkOf} from "./details.js";
import {h, icon, setHidden, setText} from "./dom.js";
import {ago, number, plural, score} from "./format.js";
import {VirtualTable} from "./list.js";
import {openJob, store, watch} from "./store.js";
import {badge, empty, menu, progress, scoreBar, setBadge, setProgress} from "./ui.js";

/* down: the first press on its head shows the greatest first. */
const COLUMNS = [
  {name: "pick", title: "Select", hidden: true}, {name: "name", title: "Name", sort: true},
  {name: "state", title: "State", sort: true},
  {name: "version", title: "Version", sort: true, down: true},
  {name: "score", title: "Score, and the base's", sort: true, down: true},
  {name: "curve", title: "Loss"}, {name: "changed", title: "Changed", sort: true, down: true},
  {name: "more", title: "Actions", hidden: true},
];
const STATES = ["ready", "training", "queued", "paused", "failed", "empty"];
const SORTED_BY = {
  name: a => a.name, state: a => STATES.indexOf(a.state), version: a => a.current,
  score: a => a.score, changed: a => a.changed_ms,
};
const HOUR_MS = 3600e3;
const FILTERS = {
  state: ["State", [["", "Any state"], ...STATES.map(s => [s, s])],
          (a, state) => a.state === state],
  score: ["Score", [["", "Any score"], ["better", "Better than the base"],
                    ["worse", "Not better"], ["none", "Not scored"]], (a, which) =>
    which === (a.score === undefined ? "none" : a.score > a.base_score ? "better" : "worse")],
  changed: ["Changed", [["", "Any time"], ["1", "In the last hour"], ["24", "In the last day"],
                        ["168", "In the last week"]],
            (a, hours) => Date.now() - a.changed_ms < hours * HOUR_MS],
};

/* What the list is narrowed and sorted by stays while the page is open. */
const view = {text: "", state: "", score: "", changed: "", order: "name", down: false};

function makeRow(adapter, picked, changed) {
  const name = adapter.name;
  const row = h("div.vrow", {role: "row"});
  row.parts = {
    state: badge(adapter.state), bar: progress(`Training of ${name}`), version: h("span"),
    score: h("span.score"), curve: h("div.cell.curve", {role: "cell"}), changed: h("span"),
  };
  const p = row.parts;
  row.append(
    h("div.cell.pick", {role: "cell"}, h("label.tick", h("input", {type: "checkbox",
      checked: picked.has(name), "aria-label": `Select ${name}`, onchange: event => {
        if (event.target.checked) picked.add(name);
        else picked.delete(name);
        changed();
      }}))),
    h("div.cell.name", {role: "cell"}, h("a", {href: addressOf(name), title: name}, name)),
    h("div.cell.state", {role: "cell"}, p.state, p.bar),
    h("div.cell.version", {role: "cell"}, p.version),
    h("div.cell.score", {role: "cell"}, p.score), p.curve,
    h("div.cell.changed", {role: "cell"}, p.changed),
    h("div.cell.more", {role: "cell"}, menu(`Actions of ${name}`, () => [
      {label: "Chat", icon: "chat",
       run: () => { location.hash = `#/chat?with=${encodeURIComponent(name)}`; }},
      {label: "Clone", icon: "copy", run: () => cloneAdapter(name)},
      {label: "Rename", icon: "edit", run: () => renameAdapter(name)},
      {label: "Remove", icon: "trash", bad: true, run: () => removeAdapters([name])}])));
  return row;
}

function updateScore(row, adapter, details) {
  const told = `${adapter.metric} ${adapter.score} ${adapter.base_score}`;
  if (row.told !== told) {
    row.told = told;
    const own = adapter.score === undefined ? [] : [scoreBar(adapter.score, adapter.base_score),
      h("span.num", {title: adapter.metric}, score(adapter.score))];
    const base = adapter.base_score === undefined ? []
      : [h("small", `base ${score(adapter.base_score)}`)];
    row.parts.score.replaceChildren(...own, ...base);
  }
  if (row.details === details) return;
  row.details = details;
  row.parts.curve.replaceChildren(...[sparkOf(details)].filter(Boolean));
}

function updateRow(row, adapter, redraw) {
  const job = openJob(adapter.name), p = row.parts;
  setBadge(p.state, adapter.state);
  setHidden(p.bar, !job?.steps);
  if (job?.steps)
    setProgress(p.bar, job.step / job.steps, `${number(job.step)}/${number(job.steps)}`);
  setText(p.version, adapter.current ? `v${adapter.current}` : "–");
  setText(p.changed, ago(adapter.changed_ms));
  updateScore(row, adapter, detailsOf(adapter, redraw));
}

/* What has no such value is last, whichever way; equals are in their names' order. */
function inOrder(list) {
  const of = SORTED_BY[view.order], sign = view.down ? -1 : 1;
  return list.sort((a, b) => {
    const x = of(a), y = of(b);
    if (x === y) return a.name < b.name ? -1 : 1;
    if (x === undefined || y === undefined) return x === undefined ? 1 : -1;
    return x < y ? -sign : sign;
  });
}

function chosen() {
  const text = view.text.toLowerCase();
  const asked = Object.entries(FILTERS).filter(([name]) => view[name]);
  return inOrder([...store.adapters.values()].filter(a =>
    (!text || a.name.toLowerCase().includes(text))
    && asked.every(([name, [, , keeps]]) => keeps(a, view[name]))));
}

function chooser(label, options, value, change) {
  const select = h("select", {"aria-label": label, onchange: () => change(select.value)},
                   options.map(([name, words]) => h("option", {value: name}, words)));
  select.value = value;
  return select;
}

/* A phone has no heads of columns to press. */
function sorter(change) {
  const options = COLUMNS.filter(c => c.sort).flatMap(({name, title, down}) => {
    const word = title.split(",")[0].toLowerCase();
    return [[`${name} ${Boolean(down)}`, `By ${word}`],
            [`${name} ${!down}`, `By ${word}, reversed`]];
  });
  const select = chooser("Sort", options, `${view.order} ${view.down}`, value => {
    const [name, down] = value.split(" ");
    change(name, down === "true");
  });
  select.classList.add("narrow");
  return select;
}

function picker(change) {
  const search = h("input.search", {type: "search", placeholder: "Find an adapter",
    "aria-label": "Find an adapter", value: view.text, oninput: event => {
      view.text = event.target.value;
      change();
    }});
  return [search, ...Object.entries(FILTERS).map(([name, [label, options]]) =>
    chooser(label, options, view[name], value => {
      view[name] = value;
      change();
    }))];
}

export default function adapters() {
  const picked = new Set();
  const count = h("span.soft", {role: "status"});
  const bulk = h("div.bulk", {hidden: true});
  const nothing = h("div");
  const table = new VirtualTable({
    label: "Adapters", columns: COLUMNS, key: a => a.name,
    make: a => makeRow(a, picked, showBulk), update: (row, a) => updateRow(row, a, redraw),
    order: view.order, down: view.down, sorted: sort});
  let pending = 0;

  function sort(name, down) {
    Object.assign(view, {order: name, down});
    table.element.scrollTop = 0;
    draw();
  }

  /* Details come one by one; what came in a frame is drawn at once. */
  function redraw() {
    pending ||= requestAnimationFrame(() => {
      pending = 0;
      table.draw();
    });
  }

  function showBulk() {
    const names = [...picked].filter(n => store.adapters.has(n));
    setHidden(bulk, names.length === 0);
    const query = names.map(encodeURIComponent).join(",");
    bulk.replaceChildren(h("span", plural(names.length, "adapter"), " selected"),
      h("a.button", {href: `${addressOf(names[0] ?? "")}?with=${query}`}, "Compare curves"),
      h("a.button", {href: `#/chat?with=${query}`}, "Chat"),
      h("button.bad", {onclick: () => {
        picked.clear();
        showBulk();
        removeAdapters(names);
      }}, "Remove"));
  }

  function draw() {
    const list = chosen();
    setText(count, list.length === store.adapters.size ? plural(list.length, "adapter")
      : `${number(list.length)} of ${plural(store.adapters.size, "adapter")}`);
    const none = store.adapters.size === 0;
    setHidden(table.element, none);
    setHidden(nothing, !none || !store.asked);
    if (none && !nothing.firstChild?.matches(store.sees ? ".first" : ".denied"))
      nothing.replaceChildren(store.sees ? firstSteps() : denied());
    table.setItems(list);
  }

  const element = h("section.view.fill", h("div.view-head", h("h1", "Adapters"), count,
    h("div.tools", picker(draw), sorter((name, down) => table.sort(name, down)),
      h("a.button", {href: "#/trash"}, icon("trash"), "Trash"),
      h("button.primary", {onclick: createAdapter}, icon("plus"), "New adapter"))),
    nothing, table.element, bulk);
  return {title: "Adapters", element, close: watch(draw)};
}

function firstSteps() {
  const box = empty("No adapters yet",
    "An adapter is what a dataset teaches the base. Make one, drop a file of rows on it, train it.",
    h("button.primary", {onclick: createAdapter}, icon("plus"), "New adapter"));
  box.classList.add("first");
  return box;
}

function denied() {
  const box = empty("This key may ask adapters, not see them",
    "Chat with those that it is for, or log in with another key.",
    h("a.button", {href: "#/chat"}, "Chat"));
  box.classList.add("denied");
  return box;
}
