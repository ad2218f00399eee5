/* An adapter's data: files are dropped here, checked row by row, looked at and uploaded. */
import {download, filePath, request} from "./api.js";
import {h, icon, setHidden, setText} from "./dom.js";
import {ago, bytes} from "./format.js";
import {refresh} from "./store.js";
import {attempt, choice, toast} from "./ui.js";
import {checkRows, reportOf} from "./rows.js";

const LOOK_BYTES = 256 << 10; /* of a file that is there, to be shown */
const FILES = {
  "dataset.jsonl": ["Training rows", "rows to learn from"],
  "eval.jsonl": ["Evaluation rows", "rows held out, to score versions on"],
};

function present(name, file, look) {
  const facts = h("span.soft"), save = h("button", {onclick: () => attempt(() =>
    download(filePath(name, file), `${name}-${file}`))}, icon("download"), "Download");
  const see = h("button", {onclick: look}, "Look at it");
  const [title, text] = FILES[file];
  const element = h("div.card", h("h2", title), h("p", facts), h("div.buttons", see, save));
  element.update = at => {
    setText(facts, at ? `${bytes(at[0])}, written ${ago(at[1])}` : `None: ${text}`);
    setHidden(see, !at);
    setHidden(save, !at);
  };
  return element;
}

export default function data(name) {
  let kind = "dataset.jsonl", file = null, looking = null;
  const report = h("div.report", {"aria-live": "polite"});
  const title = h("h2"), bar = h("progress", {max: 1, "aria-label": "Checking rows", hidden: true});
  const picker = h("input.hidden", {type: "file", "aria-label": "Choose a file of rows",
                                    onchange: () => take(picker.files[0])});
  const upload = h("button", {hidden: true, onclick: () => put(false)}, icon("upload"), "Upload");
  const train = h("button.primary", {hidden: true, onclick: () => put(true)}, icon("play"),
                  "Upload and train");
  const drop = h("div.drop", icon("upload"),
    h("p", h("b", "Drop a file of rows here"), ", or ", h("button", {onclick: () => picker.click()},
      "choose one")),
    h("p.soft", "JSON lines, a JSON array, CSV, TSV or Parquet, packed or not: prompt and "
      + "completion, messages, Alpaca, question and answer, or any columns with a template."),
    picker);

  for (const [event, over] of [["dragenter", true], ["dragover", true], ["dragleave", false],
                               ["drop", false]])
    drop.addEventListener(event, e => {
      e.preventDefault();
      drop.classList.toggle("over", over);
    });
  drop.addEventListener("drop", e => take(e.dataTransfer.files[0]));

  /* Shows the check of a blob; what is looked at before is left. */
  async function look(blob, words) {
    looking?.abort();
    looking = new AbortController();
    const {signal} = looking;
    setText(title, words);
    report.replaceChildren();
    bar.value = 0;
    setHidden(bar, false);
    const all = await attempt(() => checkRows(name, blob, signal, (now, part) => {
      bar.value = part;
      report.replaceChildren(...reportOf(now).filter(Boolean));
    }));
    if (signal.aborted) return undefined;
    setHidden(bar, true);
    if (all === null)
      report.replaceChildren(h("p.soft", "It is too large to be shown before it is uploaded; "
        + "the daemon checks every row of it then."));
    return all;
  }

  async function take(chosen) {
    if (!chosen) return;
    file = chosen;
    setHidden(upload, true);
    setHidden(train, true);
    const all = await look(file, `${file.name}, ${bytes(file.size)}`);
    if (all === undefined) return;
    setHidden(upload, false);
    setHidden(train, kind !== "dataset.jsonl");
    upload.disabled = train.disabled = Boolean(all?.n_faults);
  }

  async function put(trains) {
    upload.disabled = train.disabled = true;
    const query = trains && kind === "dataset.jsonl" ? "?train=1" : "";
    const done = await attempt(async () =>
      (await request("PUT", filePath(name, kind) + query, {body: file})).json());
    upload.disabled = train.disabled = false;
    if (!done) return;
    await refresh();
    toast(done.queued ? "Uploaded; the training is queued"
      : query ? "Uploaded; it is what was trained on before, so nothing is queued" : "Uploaded");
    if (done.queued) location.hash = `#/adapters/${encodeURIComponent(name)}/curves`;
  }

  async function lookAt(which) {
    file = null;
    setHidden(upload, true);
    setHidden(train, true);
    const part = await attempt(async () => (await request("GET", filePath(name, which),
      {headers: {Range: `bytes=0-${LOOK_BYTES - 1}`}})).blob());
    if (!part) return;
    /* What the range cut off is no row. */
    const text = part.size < LOOK_BYTES ? null : await part.text();
    const whole = text ? new Blob([text.slice(0, text.lastIndexOf("\n") + 1)]) : part;
    await look(whole, `The first rows of ${which}`);
  }

  const cards = Object.fromEntries(Object.keys(FILES).map(f =>
    [f, present(name, f, () => lookAt(f))]));
  return {
    update: a => {
      for (const [f, card] of Object.entries(cards)) card.update(a.files[f]);
    },
    close: () => looking?.abort(),
    element: h("div.part", h("div.cards", Object.values(cards)),
      h("div.bar", h("span.soft", "A new file is for"), choice("What the file is for",
        Object.entries(FILES).map(([f, [words]]) => [f, words]), kind, now => {
          kind = now;
          setHidden(train, upload.hidden || kind !== "dataset.jsonl");
        })), drop,
      h("div.bar", title, bar, h("div.tools", upload, train)), report)};
}
