/* One adapter: its head, and the parts of its view. */
import {addressOf, cloneAdapter, order, removeAdapters, renameAdapter} from "./actions.js";
import {download, filePath, send} from "./api.js";
import {h, icon, setHidden, setText} from "./dom.js";
import {duration, number, score} from "./format.js";
import {fileText, openJob, refresh, store, watch} from "./store.js";
import {attempt, badge, empty, menu, progress, setBadge, setProgress, tabs} from "./ui.js";
import confusion from "./confusion.js";
import curves from "./curves.js";
import data from "./data.js";
import examples from "./examples.js";
import log from "./log.js";
import settings from "./settings.js";
import versions from "./versions.js";

const PARTS = {
  curves: ["Curves", curves], data: ["Data", data], settings: ["Settings", settings],
  versions: ["Versions", versions], examples: ["Examples", examples],
  confusion: ["Confusion", confusion], log: ["Log", log],
};
const ORDERS = [["pause", "Pause", "pause"], ["resume", "Resume", "play"],
                ["finish", "Finish", "finish"], ["cancel", "Cancel", "stop"]];

/* What a job in this state takes. */
const takes = {queued: ["pause", "cancel"], running: ["pause", "finish", "cancel"],
               paused: ["resume", "cancel"]};

function jobBar(name) {
  const bar = progress(`Training of ${name}`);
  const buttons = ORDERS.map(([word, label, picture]) => {
    const button = h("button", {onclick: () => act(word)}, icon(picture), label);
    button.word = word;
    return button;
  });
  let job = null;
  const act = word => attempt(async () => {
    await send("POST", `/v1/jobs/${job.id}/${word}`);
    await refresh();
  });
  const element = h("div.job-bar", {hidden: true}, bar, h("div.buttons", buttons));
  element.update = now => {
    job = now;
    setHidden(element, !job);
    if (!job) return;
    for (const button of buttons) setHidden(button, !takes[job.state].includes(button.word));
    setProgress(bar, job.steps ? job.step / job.steps : 0, words(job));
  };
  return element;
}

function words(job) {
  const parts = [job.steps ? `step ${number(job.step)} of ${number(job.steps)}` : job.state];
  if (job.loss != null) parts.push(`loss ${score(job.loss)}`);
  if (job.state === "running" && job.tokens_per_second)
    parts.push(`${number(job.tokens_per_second)} tokens/s`);
  if (job.state === "running" && job.eta_seconds != null)
    parts.push(`${duration(job.eta_seconds)} left`);
  return parts.join(" · ");
}

function actions(name) {
  return menu(`Actions of ${name}`, () => [
    {label: "Clone", icon: "copy", run: () => cloneAdapter(name)},
    {label: "Rename", icon: "edit",
     run: () => renameAdapter(name, to => { location.hash = addressOf(to); })},
    {label: "Download weights", icon: "download", run: () => attempt(() => download(
      filePath(name, "adapter/adapter_model.safetensors"), `${name}.safetensors`))},
    {label: "Remove", icon: "trash", bad: true, run: async () => {
      location.hash = "#/adapters";
      await removeAdapters([name]);
    }}]);
}

export default function adapter(name, part, query) {
  const state = badge("empty"), version = h("span.soft"), status = h("p.status", {role: "status"});
  const train = h("button.primary", {onclick: () => order(name, "train")}, icon("play"), "Train");
  const bar = jobBar(name);
  const [title, make] = PARTS[part] ?? PARTS.curves;
  const body = make(name, query);
  const gone = empty(`There is no adapter ${name}`, "It was removed or renamed.",
                     h("a.button", {href: "#/adapters"}, "All adapters"));
  let seen = "";

  async function showStatus(a) {
    const stamp = `${a.state} ${a.current} ${a.files.status} ${a.files.error}`;
    if (stamp === seen) return;
    seen = stamp;
    const text = (await fileText(name, "status"))?.trim() ?? "";
    /* What the badge and the version say already is left out. */
    setText(status, text.replace(/^(ready v\d+|empty|queued.*|training.*|paused.*)(\n|$)/, ""));
  }

  function update() {
    const a = store.adapters.get(name);
    setHidden(gone, Boolean(a) || !store.asked);
    if (!a) return;
    setBadge(state, a.state);
    setText(version, a.current ? `serves v${a.current}` : "no version yet");
    const job = openJob(name);
    bar.update(job);
    train.disabled = !("dataset.jsonl" in a.files);
    train.title = train.disabled ? "There is no dataset yet: drop one in Data" : "";
    setHidden(train, Boolean(job));
    attempt(() => showStatus(a));
    body.update?.(a);
  }

  const element = h("section.view",
    h("div.view-head", h("a.back", {href: "#/adapters", "aria-label": "All adapters"},
        icon("back")), h("h1", name), state, version,
      h("div.tools", train, h("a.button", {href: `#/chat?with=${encodeURIComponent(name)}`},
        icon("chat"), "Chat"), actions(name))),
    status, bar, gone,
    tabs(`Parts of ${name}`, Object.entries(PARTS).map(([key, [text]]) => [key, text]),
         part in PARTS ? part : "curves", key => addressOf(name, key)),
    body.element);
  const end = watch(update);
  return {title: `${name}: ${title}`, element, close: () => { end(); body.close?.(); }};
}
