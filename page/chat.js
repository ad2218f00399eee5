/* Chat, with one to four models at once: each has a column, and all get the same messages. */
import {getJson} from "./api.js";
import {h, icon, setHidden, setText} from "./dom.js";
import {store} from "./store.js";
import {attempt, choice, field} from "./ui.js";
import {ask, figures} from "./answer.js";
import {markdown} from "./markdown.js";

const COLUMNS_MAX = 4;
const SAMPLING = [
  ["temperature", "0", "0: the likeliest token always", "0", "100", "0.1"],
  ["top_p", "1", "the likeliest tokens that make up this part", "0", "1", "0.05"],
  ["top_k", "", "so many of the likeliest tokens", "0", "", "1"],
  ["max_tokens", "256", "of an answer", "1", "", "1"],
  ["repetition_penalty", "1", "above 1 repeats less", "0.01", "100", "0.05"],
  ["seed", "", "the same seed gives the same answer", "0", "", "1"],
];

/* What is asked and whom stays while the page is open, also when another view is looked at. */
const talk = {turns: [], models: [], mode: "chat", system: "", sampling: {}, draft: ""};

async function modelNames() {
  const {data} = await getJson("/v1/models");
  const out = [];
  for (const m of data) {
    out.push(m.id);
    const a = store.adapters.get(m.id);
    for (const v of a?.versions.toReversed() ?? [])
      if (v !== a.current) out.push(`${m.id}/${v}`);
  }
  return out;
}

/* ---- What is said. A turn is what a person said, and what each column answered. */

function messagesFor(turn, column) {
  const out = talk.system ? [{role: "system", content: talk.system}] : [];
  for (const t of talk.turns) {
    out.push({role: "user", content: t.text});
    if (t === turn) return out;
    const text = t.answers[column]?.state.text;
    if (text) out.push({role: "assistant", content: text});
  }
  return out;
}

function samplingNow() {
  const out = {max_tokens: 256};
  for (const [name, value] of Object.entries(talk.sampling))
    if (value !== "") out[name] = Number(value);
  return out;
}

class Answer {
  constructor(turn, column, changed) {
    Object.assign(this, {turn, column, changed, state: {text: ""}, running: null});
    this.text = h("div.md");
    this.note = h("small.soft");
    this.stopper = h("button.small", {hidden: true, onclick: () => this.stop()}, icon("stop"),
                     "Stop");
    this.again = h("button.small", {hidden: true, onclick: () => this.start()}, icon("again"),
                   "Again");
    this.copier = h("button.small", {hidden: true, onclick: () =>
      navigator.clipboard?.writeText(this.state.text)}, icon("copy"), "Copy");
    this.element = h("div.answer", {"aria-live": "off"}, this.text,
                     h("div.answer-foot", this.note, this.stopper, this.again, this.copier));
  }

  stop() {
    this.running?.abort();
  }

  /* Drawn once a frame at most, however fast it comes. */
  draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      const raw = talk.mode === "prompt";
      this.text.replaceChildren(...raw ? [h("pre.raw", this.state.text)]
                                       : markdown(this.state.text));
      setText(this.note, figures(this.state));
      this.changed();
    });
  }

  async start() {
    this.stop();
    const controller = this.running = new AbortController();
    const chat = talk.mode === "chat";
    this.element.classList.add("busy");
    setHidden(this.stopper, false);
    setHidden(this.again, true);
    this.text.replaceChildren(h("span.waiting", {"aria-label": "Waiting"}));
    try {
      this.state = {text: "", pieces: 0, first: null, seconds: 0};
      await ask({model: talk.models[this.column], sampling: samplingNow(),
        messages: chat ? messagesFor(this.turn, this.column) : null,
        prompt: this.turn.text, signal: controller.signal},
      state => { this.state = state; this.draw(); });
      if (!this.state.text) this.text.replaceChildren(h("i.soft", "An empty answer"));
    } catch (error) {
      this.state.stopped = error.name === "AbortError";
      if (this.state.stopped) setText(this.note, figures(this.state));
      else this.text.append(h("p.error", {role: "alert"}, error.message));
    }
    if (this.running !== controller) return;
    this.running = null;
    this.element.classList.remove("busy");
    setHidden(this.stopper, true);
    setHidden(this.again, false);
    setHidden(this.copier, !this.state.text);
    this.changed();
  }
}

export default function chat(query) {
  const list = h("div.talk", {"aria-label": "Conversation", role: "log"});
  const heads = h("div.columns.heads"), said = h("span.hidden", {"aria-live": "polite"});
  const input = h("textarea", {rows: 3, placeholder: "Say something", "aria-label": "Message",
    value: talk.draft, oninput: () => { talk.draft = input.value; }, onkeydown: event => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        say();
      }
    }});
  const more = h("button", {onclick: () => { talk.models.push(names[0]); columns(); }},
                 icon("plus"), "Compare with");
  const stopAll = h("button", {hidden: true, onclick: () => all(a => a.stop())}, icon("stop"),
                    "Stop all");
  let names = [];

  const all = fn => talk.turns.forEach(t => t.answers.forEach(fn));

  function changed() {
    const busy = talk.turns.some(t => t.answers.some(a => a.running));
    setHidden(stopAll, !busy);
    if (!busy && !stopAll.wasIdle) setText(said, "Answered");
    else if (busy) setText(said, "");
    stopAll.wasIdle = !busy;
    const near = list.scrollHeight - list.scrollTop - list.clientHeight < 120;
    if (busy && near) list.scrollTop = list.scrollHeight;
  }

  function columns() {
    const n = talk.models.length;
    list.parentNode?.style.setProperty("--columns", n);
    heads.replaceChildren(...talk.models.map((model, i) => h("div.column-head",
      h("select", {"aria-label": `Model ${i + 1}`, onchange: event => {
        talk.models[i] = event.target.value;
      }}, names.map(name => h("option", {value: name, selected: name === model}, name))),
      n > 1 && h("button.icon-button", {"aria-label": `Remove column ${i + 1}`, onclick: () => {
        talk.models.splice(i, 1);
        for (const t of talk.turns) {
          t.answers.splice(i, 1).forEach(a => a.stop());
          t.answers.forEach((a, at) => { a.column = at; });
        }
        columns();
      }}, icon("close")))));
    setHidden(more, n >= COLUMNS_MAX || names.length === 0);
    for (const turn of talk.turns) drawTurn(turn);
    changed();
  }

  function drawTurn(turn) {
    if (!turn.element) {
      turn.words = h("p");
      turn.row = h("div.columns");
      turn.element = h("article.turn", h("div.mine", turn.words,
        h("button.small", {onclick: () => edit(turn)}, icon("edit"), "Edit")), turn.row);
    }
    setText(turn.words, turn.text);
    turn.answers.forEach(a => { a.changed = changed; });
    turn.row.replaceChildren(...turn.answers.map(a => a.element));
    if (turn.element.parentNode !== list) list.append(turn.element);
  }

  /* Asks again from there: what came after is gone. */
  function edit(turn) {
    all(a => a.stop());
    for (const gone of talk.turns.splice(talk.turns.indexOf(turn))) gone.element.remove();
    input.value = talk.draft = turn.text;
    input.focus();
  }

  function say() {
    const text = input.value;
    if (!text.trim() || !talk.models.length) return;
    all(a => a.stop());
    input.value = talk.draft = "";
    const turn = {text, answers: []};
    turn.answers = talk.models.map((_, i) => new Answer(turn, i, changed));
    talk.turns.push(turn);
    drawTurn(turn);
    list.scrollTop = list.scrollHeight;
    for (const a of turn.answers) a.start();
  }

  function clear() {
    all(a => a.stop());
    talk.turns = [];
    list.replaceChildren();
    input.focus();
  }

  const settings = h("details.sampling", h("summary", "Sampling and system prompt"),
    h("div.fields", SAMPLING.map(([name, value, help, min, max, step]) => field(name, h("input", {
      type: "number", min, max, step, placeholder: value, value: talk.sampling[name] ?? "",
      oninput: event => { talk.sampling[name] = event.target.value; }}), help)),
    field("System prompt", h("textarea", {rows: 2, value: talk.system,
      oninput: event => { talk.system = event.target.value; }}), "of chats")));

  const element = h("section.view.fill.chat", h("div.view-head", h("h1", "Chat"),
      choice("What is sent", [["chat", "Chat"], ["prompt", "Prompt"]], talk.mode,
             mode => { talk.mode = mode; }),
      h("div.tools", more, h("button", {onclick: clear}, icon("trash"), "Clear"))),
    settings, heads, list, said,
    h("form.say", {onsubmit: event => { event.preventDefault(); say(); }}, input,
      h("div.buttons", stopAll, h("button.primary", {type: "submit"}, icon("send"), "Send"))));

  attempt(async () => {
    names = await modelNames();
    const wanted = (query?.get("with") ?? "").split(",").filter(n => names.includes(n));
    if (wanted.length) talk.models = wanted.slice(0, COLUMNS_MAX);
    talk.models = talk.models.filter(n => names.includes(n));
    if (!talk.models.length && names.length) talk.models = [names[0]];
    columns();
  });
  return {title: "Chat", element};
}
