/* What the daemon has, as it was last asked: its bases, adapters, jobs and counters. One loop asks;
 * views subscribe and change what has changed. */
import {filePath, getJson, getText, request} from "./api.js";

const EVERY_MS = 1500;
const HISTORY_MS = 3600e3; /* rates are kept so long */

export const store = {
  bases: [],
  adapters: new Map(), /* by name, as /v1/tree has them */
  jobs: [],
  metrics: null, /* {name: number}, without "lorafs_" */
  history: [], /* {ms, metrics}, oldest first */
  health: {state: "loading", text: "Connecting…"},
  asked: false, /* whether adapters and jobs are known yet */
  sees: true, /* whether the key may see them */
  version: "",
};

const watchers = new Set();
let changing = 0, changed = 0; /* changes of names that are under way, and that were made */
let generation = -1;
let timer = 0;
let asking = null;

/* Calls fn now and after each change; the function that comes back ends it. */
export function watch(fn) {
  watchers.add(fn);
  fn();
  return () => watchers.delete(fn);
}

function tell() {
  for (const fn of watchers) fn();
}

function metricsOf(text) {
  const out = {};
  for (const line of text.split("\n")) {
    const m = /^lorafs_(\w+)(?:\{[^}]*\})? (\S+)$/.exec(line);
    if (m) out[m[1]] = (line.includes("{") ? out[m[1]] ?? 0 : 0) + Number(m[2]);
  }
  return out;
}

async function askTree() {
  const since = generation >= 0 ? `?since=${generation}` : "";
  const response = await request("GET", `/v1/tree${since}`);
  if (response.status === 304) return;
  const tree = await response.json();
  generation = tree.generation;
  store.adapters = new Map(tree.adapters.map(a => [a.name, a]));
}

async function askHealth() {
  const response = await fetch("/health", {cache: "no-store"});
  const body = await response.json();
  if (!response.ok) store.health = {state: "bad", text: body.error.message};
  else if (body.status === "ok") store.health = {state: "good", text: "Ready"};
  else store.health = {state: "warn", text: body.problems.join("; ")};
}

/* What the daemon has noted of the hour before the page was opened. */
async function askPast() {
  if (!store.history.length)
    store.history = (await getJson("/v1/rates")).notes.map(note => ({ms: note.ms, metrics: note}));
}

async function askMetrics() {
  await askPast();
  const ms = Date.now();
  store.metrics = metricsOf(await getText("/metrics"));
  store.history.push({ms, metrics: store.metrics});
  while (ms - store.history[0].ms > HISTORY_MS) store.history.shift();
}

async function askSeen() {
  try {
    const [jobs] = await Promise.all([getJson("/v1/jobs"), askTree()]);
    store.jobs = jobs.jobs;
    store.sees = true;
  } catch (error) {
    if (error.status !== 403) throw error;
    store.sees = false;
  }
  store.asked = true;
}

async function ask() {
  const before = changed;
  try {
    await askHealth();
    const known = store.bases.length > 0;
    const several = store.bases.length > 1 || store.bases.some(b => b.seats.length > 1);
    if (!known || several) /* the page shows each */
      store.bases = (await getJson("/v1/bases")).bases;
    if (!known) {
      store.version = (await getJson("/version")).version;
    }
    await Promise.all([askSeen(), askMetrics()]);
  } catch (error) {
    if (error.status !== 401)
      store.health = {state: "bad", text: error.status ? error.message
                                                       : "The daemon does not answer"};
  }
  if (!changing && before === changed) tell();
}

/* Asks at once, after something was changed; resolves when the answer is in. */
export async function refresh() {
  clearTimeout(timer);
  await asking;
  const began = Date.now();
  asking = ask();
  await asking;
  clearTimeout(timer);
  /* A listing that takes long is asked for less often. */
  timer = setTimeout(loop, Math.max(EVERY_MS, 10 * (Date.now() - began)));
}

/* Makes a change of names, and asks what there is then. What was asked for before is told to no
 * view: it would ask for files of a name that is gone. */
export async function change(fn) {
  changing++;
  try {
    return await fn();
  } finally {
    changing--;
    changed++;
    await refresh();
  }
}

function loop() {
  if (document.hidden) timer = setTimeout(loop, EVERY_MS);
  else refresh();
}

/* Another key: all is asked anew. */
export function restart() {
  generation = -1;
  Object.assign(store, {adapters: new Map(), jobs: [], bases: [], asked: false});
  return refresh();
}

export const openJob = name => store.jobs.findLast(
  j => j.adapter === name && ["queued", "running", "paused"].includes(j.state));

const MADE = new Set(["status", "settings"]); /* files that are there, listed or not */

/* A file's text or JSON; null where the adapter has no such file. */
export async function fileText(name, file, options) {
  const has = MADE.has(file) || file in (store.adapters.get(name)?.files ?? {});
  return has ? getText(filePath(name, file), options) : null;
}

export async function fileJson(name, file) {
  const text = await fileText(name, file);
  return text === null ? null : JSON.parse(text);
}
