/* The queue: what trains, what waits, what has ended. */
import {addressOf} from "./actions.js";
import {send} from "./api.js";
import {h, icon, keyed, setHidden, setText} from "./dom.js";
import {ago, duration, number, plural, score} from "./format.js";
import {refresh, store, watch} from "./store.js";
import {attempt, badge, empty, progress, setBadge, setProgress} from "./ui.js";

const WORDS = {pause: ["Pause", "pause"], resume: ["Resume", "play"], finish: ["Finish", "finish"],
               cancel: ["Cancel", "stop"], retry: ["Retry", "again"]};
const TAKES = {queued: ["pause", "cancel"], running: ["pause", "finish", "cancel"],
               paused: ["resume", "cancel"], failed: ["retry"], cancelled: ["retry"], done: []};
const GROUPS = [["running", "Running"], ["paused", "Paused"], ["queued", "Waiting"],
                ["ended", "Ended"]];

const groupOf = job => ["running", "paused", "queued"].includes(job.state) ? job.state : "ended";

const act = (job, word) => attempt(async () => {
  await send("POST", `/v1/jobs/${job.id}/${word}`);
  await refresh();
});

function makeRow(job) {
  const p = {state: badge(job.state), bar: progress(`Job ${job.id} of ${job.adapter}`),
             words: h("p.soft"), reason: h("p.reason"), link: h("a")};
  p.buttons = Object.entries(WORDS).map(([word, [label, picture]]) => {
    const button = h("button", {"aria-label": `${label} ${job.adapter}`,
                                onclick: () => act(job, word)}, icon(picture), label);
    button.word = word;
    return button;
  });
  const row = h("li.job.card", h("div.job-head", p.link, p.state, h("div.buttons", p.buttons)),
                p.bar, p.words, p.reason);
  row.parts = p;
  return row;
}

function wordsOf(job) {
  const parts = [];
  if (job.loss != null) parts.push(`loss ${score(job.loss)}`);
  if (job.eval_loss != null) parts.push(`eval ${score(job.eval_loss)}`);
  if (job.tokens) parts.push(plural(job.tokens, "token"));
  if (job.state === "running" && job.tokens_per_second)
    parts.push(`${number(job.tokens_per_second)} tokens/s`);
  if (job.state === "running" && job.eta_seconds != null)
    parts.push(`${duration(job.eta_seconds)} left`);
  if (job.ended_ms) {
    parts.push(`ended ${ago(job.ended_ms)}`);
    if (job.started_ms) parts.push(`took ${duration((job.ended_ms - job.started_ms) / 1000)}`);
  } else {
    parts.push(`queued ${ago(job.created_ms)}`);
  }
  return parts.join(" · ");
}

function updateRow(row, job) {
  const p = row.parts;
  p.link.href = addressOf(job.adapter);
  setText(p.link, `${job.adapter} v${job.version}`);
  setBadge(p.state, job.state);
  setHidden(p.bar, !job.steps || groupOf(job) === "ended");
  if (job.steps) setProgress(p.bar, job.step / job.steps,
                             `${number(job.step)} of ${number(job.steps)} steps`);
  setText(p.words, wordsOf(job));
  setText(p.reason, job.reason ?? "");
  for (const b of p.buttons) setHidden(b, !TAKES[job.state].includes(b.word));
}

/* What those that wait wait for. */
function waitFor(running, waiting) {
  if (!waiting) return "";
  return running ? `${plural(waiting, "job")} ${waiting === 1 ? "waits" : "wait"} for a place in `
    + `the fused batch, beside ${plural(running, "running job")}; the oldest is next`
    : `${plural(waiting, "job")} ${waiting === 1 ? "is" : "are"} being prepared`;
}

export default function jobs() {
  const none = empty("Nothing is queued", "Rows that are uploaded to an adapter are trained.");
  const hint = h("p.soft");
  const groups = GROUPS.map(([name, title]) => {
    const count = h("span.count"), list = h("ol.jobs");
    const element = h("section", h("h2", title, " ", count), name === "queued" && hint, list);
    return {name, count, list, element};
  });
  const draw = () => {
    setHidden(none, store.jobs.length > 0 || !store.asked);
    const counts = {};
    for (const g of groups) {
      let list = store.jobs.filter(j => groupOf(j) === g.name);
      counts[g.name] = list.length;
      if (g.name === "ended") list = list.toReversed();
      setText(g.count, list.length);
      setHidden(g.element, list.length === 0);
      keyed(g.list, list, j => j.id, makeRow, updateRow);
    }
    setText(hint, waitFor(counts.running, counts.queued));
  };
  const element = h("section.view", h("div.view-head", h("h1", "Jobs")), none,
                    groups.map(g => g.element));
  return {title: "Jobs", element, close: watch(draw)};
}
