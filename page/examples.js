/* Evaluation rows, and what the base and a version answer to them, side by side. */
import {h, icon, setHidden, setText} from "./dom.js";
import {fileJson, fileText, store} from "./store.js";
import {attempt, empty} from "./ui.js";
import {ask, figures} from "./answer.js";
import {linesOf} from "./trainlog.js";

const LOOK_BYTES = 256 << 10;
const SHOWN = 20;

/* What a row asks and what is right: {prompt or messages, expected}; null: not one of the plain
 * forms. */
function questionOf(row) {
  if (typeof row.prompt === "string" && typeof row.completion === "string")
    return {prompt: row.prompt, shown: row.prompt, expected: row.completion};
  if (!Array.isArray(row.messages)) return null;
  const at = row.messages.findLastIndex(m => m.role === "assistant");
  if (at < 1) return null;
  const messages = row.messages.slice(0, at);
  return {messages, shown: messages.map(m => `${m.role}: ${m.content}`).join("\n"),
          expected: row.messages[at].content};
}

function answerCell(title) {
  const text = h("pre.raw"), note = h("small.soft");
  const element = h("div.example-answer", h("h3", title), text, note);
  return Object.assign(element, {text, note});
}

export default function examples(name) {
  const list = h("div.stack");
  const which = h("select", {"aria-label": "Version"});
  const run = h("button.primary", {onclick: askAll}, icon("play"), "Ask all of them");
  const stop = h("button", {hidden: true, onclick: () => running?.abort()}, icon("stop"), "Stop");
  let rows = [], running = null, stamp = null, versions = "", longest = 256;

  async function askOne(row, signal) {
    const {prompt, messages} = row.question;
    const of = (model, cell) => ask({model, prompt, messages, signal,
      sampling: {temperature: 0, max_tokens: longest}},
      state => { setText(cell.text, state.text); setText(cell.note, figures(state)); })
      .catch(error => {
        if (error.name !== "AbortError") setText(cell.note, error.message);
      });
    const version = which.value;
    setText(row.tuned.firstChild, `Version ${version}`);
    await Promise.all([of(store.adapters.get(name)?.base ?? "", row.base),
                       of(`${name}/${version}`, row.tuned)]);
    const right = row.tuned.text.textContent.trim() === row.question.expected.trim();
    row.element.classList.toggle("right", right);
  }

  async function askAll() {
    running?.abort();
    const controller = running = new AbortController();
    setHidden(stop, false);
    /* A browser has six connections, which others want, too. */
    const left = [...rows];
    await Promise.all([1, 2].map(async () => {
      while (left.length && !controller.signal.aborted)
        await askOne(left.shift(), controller.signal);
    }));
    if (running === controller) setHidden(stop, true);
  }

  function makeRow(question, i) {
    const row = {question, base: answerCell("Base"), tuned: answerCell("Version")};
    row.element = h("article.example.card", h("div.example-head", h("h2", `Row ${i + 1}`),
      h("button.small", {onclick: () => {
        running ??= new AbortController();
        if (running.signal.aborted) running = new AbortController();
        askOne(row, running.signal);
      }}, icon("play"), "Ask")),
    h("div.example-cells", h("div.example-answer", h("h3", "Prompt"),
      h("pre.raw", {tabindex: "0"}, question.shown)),
    h("div.example-answer", h("h3", "Expected"), h("pre.raw", question.expected)),
    row.base, row.tuned));
    return row;
  }

  async function load(a) {
    const file = "eval.jsonl" in a.files ? "eval.jsonl" : "dataset.jsonl";
    const now = `${file} ${a.files[file]}`;
    if (now === stamp) return;
    stamp = now;
    longest = (await fileJson(name, "settings")).max_tokens;
    const text = await fileText(name, file, {headers: {Range: `bytes=0-${LOOK_BYTES - 1}`}});
    if (now !== stamp) return; /* there are other rows meanwhile */
    rows = linesOf(text ?? "").map(questionOf).filter(Boolean).slice(0, SHOWN).map(makeRow);
    list.replaceChildren(...rows.length ? rows.map(row => row.element) : [empty("No examples",
      "Rows of eval.jsonl (or the dataset) with a prompt and a completion, or with messages, are "
      + "shown here.")]);
    run.disabled = rows.length === 0 || !a.current;
  }

  return {update: a => {
    if (String(a.versions) !== versions) {
      versions = String(a.versions);
      which.replaceChildren(...a.versions.toReversed().map(v => h("option",
        {value: v, selected: v === a.current}, `v${v}`)));
      run.disabled = rows.length === 0 || !a.current;
    }
    attempt(() => load(a));
  }, close: () => running?.abort(), element: h("div.part",
    h("div.bar", h("span.soft", "Greedy answers of the base and of"), which,
      h("div.tools", stop, run)), list)};
}
