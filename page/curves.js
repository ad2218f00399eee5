/* An adapter's curves: of its versions, of a training as it runs, and of other adapters, in one
 * picture. */
import {Chart, smooth} from "./chart.js";
import {h} from "./dom.js";
import {number} from "./format.js";
import {openJob, store} from "./store.js";
import {attempt, choice} from "./ui.js";
import {LogTail, curvesOf, versionLines} from "./trainlog.js";

const COLOURS = 8;
const SHOWN_AT_FIRST = 3;
const WHAT = [["loss", "Loss"], ["learning_rate", "Learning rate"],
              ["tokens_per_second", "Tokens/s"], ["grad_norm", "Gradient norm"]];

/* A run: a version of an adapter, or the training that is open (version "now"). */
const keyOf = (name, version) => `${name}/${version}`;

export default function curves(name, query) {
  const runs = new Map(); /* by key: {name, version, lines, on, colour} */
  const others = new Set((query?.get("with") ?? "").split(",").filter(n => n && n !== name));
  const chart = new Chart("Curves of the trainings", {height: 340, xText: x => `${number(x)}`,
    yText: y => Math.abs(y) < 0.001 && y !== 0 ? y.toExponential(1) : number(y)});
  const chips = h("div.chips", {role: "group", "aria-label": "What is shown"});
  const hint = h("small.soft", "Drag to zoom, double-click for all; with the keyboard + and -, "
    + "arrows to read. The loss is smoothed, its steps are faint behind it; dots are evaluations.");
  let what = "loss", tail = null, asking = false, colours = 0;

  function draw() {
    chart.setSeries([...runs.values()].filter(r => r.on).flatMap(run => seriesOf(run, what)));
  }

  function chip(run, label) {
    const input = h("input", {type: "checkbox", checked: run.on, onchange: event => {
      run.on = event.target.checked;
      if (run.on) load(run);
      draw();
    }});
    run.chip = h("label.chip", input, h(`i.swatch.c${run.colour}`), label);
    chips.insertBefore(run.chip, adder);
  }

  function addRun(runName, version, on) {
    const key = keyOf(runName, version);
    if (runs.has(key)) return;
    const run = {name: runName, version, on, lines: [], colour: colours++ % COLOURS};
    run.label = `${runName === name ? "" : `${runName} `}${version === "now" ? "running"
                                                                           : `v${version}`}`;
    runs.set(key, run);
    chip(run, run.label);
    if (on) load(run);
  }

  async function load(run) {
    if (run.loaded || run.version === "now") return;
    run.loaded = true;
    await attempt(async () => {
      run.lines = await versionLines(run.name, run.version);
      run.curves = curvesOf(run.lines);
      draw();
    });
  }

  const datalist = h("datalist", {id: "other-adapters"});
  const add = h("input", {type: "text", placeholder: "Add an adapter",
    "aria-label": "Add an adapter to compare with", onchange: event => {
      const other = store.adapters.get(event.target.value);
      if (!other) return;
      event.target.value = "";
      others.add(other.name);
      addOthers();
    }, onfocus: () => datalist.replaceChildren(...[...store.adapters.values()]
      .filter(a => a.current && a.name !== name).slice(0, 500)
      .map(a => h("option", {value: a.name})))});
  add.setAttribute("list", "other-adapters");
  const adder = h("span.adder", add, datalist);
  chips.append(adder);

  function addOthers() {
    for (const other of others) {
      const a = store.adapters.get(other);
      if (a?.current) addRun(other, a.current, true);
    }
  }

  /* The open training's lines, as they come. */
  async function follow(a) {
    const job = openJob(name), key = keyOf(name, "now");
    if (!job) {
      tail = null;
      runs.get(key)?.chip.remove();
      if (runs.delete(key)) draw();
      return;
    }
    if (asking) return;
    asking = true;
    tail ??= new LogTail(name, a.files.log?.[0]);
    const more = await attempt(() => tail.more());
    asking = false;
    if (!more?.length) return;
    addRun(name, "now", true);
    const run = runs.get(key);
    run.lines.push(...more.filter(l => l.job === job.id));
    run.curves = curvesOf(run.lines);
    draw();
  }

  function update(a) {
    const newest = a.versions.toReversed();
    newest.forEach((v, i) => addRun(name, v, i < SHOWN_AT_FIRST));
    addOthers();
    follow(a);
  }

  return {update, element: h("div.part",
    h("div.bar", choice("Curve", WHAT, what, now => {
      what = now;
      draw();
    })), chips, chart.element, hint)};
}

/* The series of a run; a sweep has one for each of its trainings. */
function seriesOf(run, what) {
  const out = [];
  for (const [trial, curves] of run.curves ?? []) {
    const colour = trial === "" ? run.colour : (run.colour + trial) % COLOURS;
    const name = trial === "" ? run.label : `${run.label}, training ${trial}`;
    const points = curves[what] ?? [];
    if (what !== "loss") {
      out.push({name, points, colour});
      continue;
    }
    out.push({name: `${name}, each step`, points, colour, faint: true});
    out.push({name, points: smooth(points, 0.1), colour});
    if (curves.eval_loss)
      out.push({name: `${name}, eval`, points: curves.eval_loss, colour, dots: true});
  }
  return out;
}
