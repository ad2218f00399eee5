/* The machine: what holds its memory, how full it is, and its rates over the last hour. */
import {Chart} from "./chart.js";
import {h, keyed, setHidden, setText} from "./dom.js";
import {bytes, duration, number, percent} from "./format.js";
import {store, watch} from "./store.js";

const MEMORY = [["weights", "memory_weights_bytes", "The base's weights"],
                ["copies", "memory_copies_bytes", "Their unpacked copies"],
                ["kv", "memory_kv_bytes", "Keys and values"],
                ["saved", "memory_saved_bytes", "Activations for backward"],
                ["working", "memory_working_bytes", "Working memory"],
                ["adapters", "adapter_memory_used_bytes", "Adapters"]];
const RATES = [["completion_tokens_total", "generated"], ["prompt_tokens_total", "read"],
               ["train_tokens_total", "trained"]];
const OCCUPANCY = [["requests_live", "on the device"], ["requests_waiting", "waiting"],
                   ["trainings_running", "trainings"]];
const RATE_MS = 10000; /* rates are means over so long */

/* A bar of parts, with a legend that says the same in words. */
function stack(label) {
  const bar = h("div.stack-bar", {role: "img", "aria-label": label}), legend = h("ul.stack-legend");
  const element = h("div", bar, legend);
  /* parts: [{name, title, value, text}], whole: their sum and what is free. */
  element.show = (parts, whole) => {
    keyed(bar, parts, p => p.name, p => h(`i.part-${p.name}`), (e, p) => {
      e.style.flexBasis = `${100 * p.value / (whole || 1)}%`;
      e.title = `${p.title}: ${p.text}`;
    });
    keyed(legend, parts, p => p.name, p => h("li", h(`i.swatch.part-${p.name}`), h("span"),
                                             h("b.num")), (e, p) => {
      setText(e.children[1], p.title);
      setText(e.children[2], p.text);
    });
    const words = parts.map(p => `${p.title} ${p.text}`).join(", ");
    bar.setAttribute("aria-label", `${label}: ${words}`);
  };
  return element;
}

const figure = title => {
  const value = h("b"), note = h("small");
  const element = h("div.figure.card", h("span", title), value, note);
  return Object.assign(element, {value, note});
};

/* A counter's rate along the history. */
function rates(name) {
  const out = [];
  let from = 0;
  const {history} = store;
  for (let i = 1; i < history.length; i++) {
    while (history[i].ms - history[from + 1].ms > RATE_MS && from + 1 < i) from++;
    const seconds = (history[i].ms - history[from].ms) / 1000;
    const more = (history[i].metrics[name] ?? 0) - (history[from].metrics[name] ?? 0);
    if (seconds > 0) out.push([history[i].ms, Math.max(0, more / seconds)]);
  }
  return out;
}

const clock = ms => new Date(ms).toTimeString().slice(0, 5);
const values = name => store.history.map(at => [at.ms, at.metrics[name] ?? 0]);

/* Where the bases are, a row each; nothing where that is one device. */
function seats() {
  const titles = ["Base", "Seat", "Device", "State", "Running", "Waiting", "Trainings", "Helping",
                  "Adapters", "Memory"];
  const body = h("tbody");
  const element = h("section.card", h("h2", "Devices"), h("div.scroll",
    h("table", h("thead", h("tr", titles.map(title => h("th", title)))), body)));
  element.show = () => {
    const all = store.bases.flatMap(b => b.seats.map(s => ({base: b.name, ...s})));
    setHidden(element, all.length < 2);
    keyed(body, all, s => `${s.base}/${s.seat}`, () => h("tr", titles.map(() => h("td"))),
          (row, s) => [s.base, s.seat, s.device, s.state === "failed" ? "lost" : s.state,
                       s.running, s.waiting, s.trainings, s.helping, s.adapters,
                       `${bytes(s.memory_used)} of ${bytes(s.memory)}`]
            .forEach((text, i) => setText(row.children[i], `${text}`)));
  };
  return element;
}

export default function machine() {
  const memory = stack("Device memory"), pages = stack("KV pages"), slots = stack("Adapter slots");
  const total = h("span.soft"), devices = seats();
  const tiles = {generated: figure("Tokens generated"), trained: figure("Tokens trained"),
                 requests: figure("Requests"), batch: figure("Batch"), hits: figure("Prompt cache"),
                 up: figure("Up")};
  const tokens = new Chart("Tokens a second", {height: 220, xText: clock, from: 0});
  const load = new Chart("Requests and trainings", {height: 220, xText: clock, from: 0});

  function showTiles(m) {
    const rate = name => rates(name).at(-1)?.[1] ?? 0;
    setText(tiles.generated.value, `${number(rate("completion_tokens_total"))}/s`);
    setText(tiles.generated.note, `${number(m.completion_tokens_total)} since the start`);
    setText(tiles.trained.value, `${number(rate("train_tokens_total"))}/s`);
    setText(tiles.trained.note, `${number(m.train_tokens_total)} since the start`);
    setText(tiles.requests.value, `${m.requests_live} + ${m.requests_waiting}`);
    setText(tiles.requests.note, "under way and waiting");
    setText(tiles.batch.value, percent(m.sequences_decoding / (m.sequences_max || 1)));
    setText(tiles.batch.note, `${m.sequences_decoding} of ${m.sequences_max} sequences decode`);
    setText(tiles.hits.value, percent((m.cached_tokens_total ?? 0) / (m.prompt_tokens_total || 1)));
    setText(tiles.hits.note, "of the prompts' tokens were not read again");
    setText(tiles.up.value, duration(m.uptime_seconds));
    setText(tiles.up.note, `the base was loaded in ${duration(m.load_seconds)}`);
  }

  function showBars(m) {
    const parts = MEMORY.map(([name, metric, title]) => ({name, title, value: m[metric] ?? 0,
                                                          text: bytes(m[metric] ?? 0)}));
    const used = parts.reduce((sum, p) => sum + p.value, 0);
    const free = Math.max(0, m.device_memory_bytes - used);
    parts.push({name: "free", title: "Everything else, and free", value: free, text: bytes(free)});
    memory.show(parts, m.device_memory_bytes);
    setText(total, `${bytes(m.device_memory_used_bytes)} of ${bytes(m.device_memory_bytes)}, `
      + `${bytes(m.device_memory_peak_bytes)} at the most`);
    const taken = m.kv_pages - m.kv_pages_free, idle = m.kv_pages_idle ?? 0;
    const piece = (name, title, value) => ({name, title, value, text: number(value)});
    pages.show([piece("kv", "Of answers under way", taken), piece("saved", "Kept prompts", idle),
                piece("free", "Free", m.kv_pages_free - idle)], m.kv_pages);
    slots.show([piece("adapters", "Taken", m.adapter_slots_used),
                piece("free", "Free", m.adapter_slots - m.adapter_slots_used)], m.adapter_slots);
  }

  function draw() {
    const m = store.metrics;
    if (!m) return;
    showTiles(m);
    showBars(m);
    devices.show();
    tokens.setSeries(RATES.map(([name, words], i) => ({name: words, colour: i,
                                                        points: rates(name)})));
    load.setSeries(OCCUPANCY.map(([name, words], i) => ({name: words, colour: i + 3,
                                                          points: values(name)})));
  }

  const element = h("section.view", h("div.view-head", h("h1", "Machine"), total),
    h("div.figures", Object.values(tiles)),
    devices,
    h("section.card", h("h2", "Device memory"), memory),
    h("div.two", h("section.card", h("h2", "KV pages"), pages),
      h("section.card", h("h2", "Adapter slots"), slots)),
    h("section.card", h("h2", "Tokens a second"), tokens.element),
    h("section.card", h("h2", "Requests and trainings"), load.element));
  return {title: "Machine", element, close: watch(draw)};
}
