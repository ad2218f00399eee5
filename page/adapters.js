/* The list of adapters. */
import {addressOf, cloneAdapter, createAdapter, removeAdapter, renameAdapter} from "./actions.js";
import {detailsOf, scoresOf, sparkOf} from "./details.js";
import {h, icon, setHidden, setText} from "./dom.js";
import {ago, number, plural, score} from "./format.js";
import {VirtualTable} from "./list.js";
import {openJob, store, watch} from "./store.js";
import {badge, empty, menu, progress, scoreBar, setBadge, setProgress} from "./ui.js";

const COLUMNS = [
  {name: "pick", title: "Select", hidden: true}, {name: "name", title: "Name", sort: true},
  {name: "state", title: "State", sort: true}, {name: "version", title: "Version", sort: true},
  {name: "score", title: "Score, and the base's"}, {name: "curve", title: "Loss"},
  {name: "changed", title: "Changed", sort: true}, {name: "more", title: "Actions", hidden: true},
];
const STATES = ["ready", "training", "queued", "paused", "failed", "empty"];
const ORDERS = {
  name: (a, b) => a.name < b.name ? -1 : 1,
  state: (a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state) || ORDERS.name(a, b),
  version: (a, b) => a.current - b.current || ORDERS.name(a, b),
  changed: (a, b) => b.changed_ms - a.changed_ms,
};

/* What the list is narrowed and sorted by stays while the page is open. */
const view = {text: "", state: "", order: "name", down: false};

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
      {label: "Remove", icon: "trash", bad: true, run: () => removeAdapter(name)}])));
  return row;
}

function updateScore(row, details) {
  if (row.details === details) return;
  row.details = details;
  const scores = scoresOf(details?.report), p = row.parts;
  const own = scores?.score == null ? [] : [scoreBar(scores.score, scores.base),
    h("span.num", {title: scores.metric ?? ""}, score(scores.score))];
  p.score.replaceChildren(...own, ...scores ? [h("small", `base ${score(scores.base)}`)] : []);
  p.curve.replaceChildren(...[sparkOf(details)].filter(Boolean));
}

function updateRow(row, adapter, redraw) {
  const job = openJob(adapter.name), p = row.parts;
  setBadge(p.state, adapter.state);
  setHidden(p.bar, !job?.steps);
  if (job?.steps)
    setProgress(p.bar, job.step / job.steps, `${number(job.step)}/${number(job.steps)}`);
  setText(p.version, adapter.current ? `v${adapter.current}` : "–");
  setText(p.changed, ago(adapter.changed_ms));
  updateScore(row, detailsOf(adapter, redraw));
}

function chosen() {
  const text = view.text.toLowerCase();
  const list = [...store.adapters.values()].filter(a =>
    (!text || a.name.toLowerCase().includes(text)) && (!view.state || a.state === view.state));
  list.sort(ORDERS[view.order]);
  return view.down ? list.reverse() : list;
}

function picker(change) {
  const search = h("input.search", {type: "search", placeholder: "Find an adapter",
    "aria-label": "Find an adapter", value: view.text, oninput: event => {
      view.text = event.target.value;
      change();
    }});
  const state = h("select", {"aria-label": "State", onchange: event => {
    view.state = event.target.value;
    change();
  }}, h("option", {value: ""}, "Any state"), STATES.map(s => h("option", {value: s}, s)));
  state.value = view.state;
  return [search, state];
}

export default function adapters() {
  const picked = new Set();
  const count = h("span.soft", {role: "status"});
  const bulk = h("div.bulk", {hidden: true});
  const nothing = h("div");
  const table = new VirtualTable({
    label: "Adapters", columns: COLUMNS, key: a => a.name,
    make: a => makeRow(a, picked, showBulk), update: (row, a) => updateRow(row, a, redraw),
    sorted: (name, down) => { view.order = name; view.down = down; draw(); }});
  let pending = 0;

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
        names.forEach(removeAdapter);
        picked.clear();
        showBulk();
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
    h("div.tools", picker(draw), h("a.button", {href: "#/trash"}, icon("trash"), "Trash"),
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
