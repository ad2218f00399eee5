/* An adapter's versions: their scores, which of them serves, and what two differ in. */
import {order, removeVersion} from "./actions.js";
import {download, filePath} from "./api.js";
import {h, keyed, setHidden, setText} from "./dom.js";
import {duration, number, score} from "./format.js";
import {fileJson} from "./store.js";
import {attempt, empty, menu, scoreBar} from "./ui.js";

/* {score, base, metric} of a metrics.json; null where nothing was scored. */
function scoresOf(report) {
  if (!report?.eval && !report?.base) return null;
  return {score: report.eval?.score, base: report.base?.score,
          metric: report.eval?.metric ?? report.base?.metric};
}

export default function versions(name) {
  const told = new Map(); /* by version: {report, config} */
  const pair = [];
  const body = h("tbody"), diff = h("div.diff", {"aria-live": "polite"});
  const none = empty("No version yet", "A training makes one, and so does an import.");
  const table = h("table", h("thead", h("tr", h("th", h("span.hidden", "Compare")),
    h("th", "Version"), h("th", "Score, and the base's"), h("th.num", "Loss"),
    h("th.num", "Eval loss"), h("th.num", "Rows"), h("th.num", "Time"),
    h("th", h("span.hidden", "Actions")))), body);
  let current = 0;

  /* Again when its report has changed: it is scored after it was made. */
  async function load(version, row, stamp) {
    if (row.stamp === stamp) return;
    row.stamp = stamp;
    await attempt(async () => {
      const [report, config] = await Promise.all(["metrics.json", "config.json"].map(f =>
        fileJson(name, `versions/${version}/${f}`)));
      if (row.stamp !== stamp) return;
      told.set(version, {report, config});
      fill(row, report);
      if (pair.some(p => p.version === version)) compare();
    });
  }

  function fill(row, report) {
    const scores = scoresOf(report), train = report?.train;
    row.parts.score.replaceChildren(...!scores ? [] : [scoreBar(scores.score, scores.base),
      h("span.num", score(scores.score)), h("small", `base ${score(scores.base)}`
        + (scores.metric ? `, ${scores.metric}` : ""))]);
    setText(row.parts.loss, score(train?.loss));
    setText(row.parts.evalLoss, score(train?.eval_loss));
    setText(row.parts.rows, number(report?.data?.rows));
    setText(row.parts.time, train?.seconds == null ? "–" : duration(train.seconds));
  }

  function makeRow(version) {
    const parts = {serves: h("span.badge.ready", "serves"), score: h("td.score-cell"),
                   loss: h("td.num"), evalLoss: h("td.num"), rows: h("td.num"), time: h("td.num")};
    const serve = h("button", {"aria-label": `Serve v${version}`,
                               onclick: () => order(name, `rollback ${version}`)}, "Serve");
    const pick = h("input", {type: "checkbox", "aria-label": `Compare v${version}`,
                             onchange: event => choose(version, event.target)});
    const row = h("tr", h("td", h("label.tick", pick)),
      h("th", {scope: "row"}, `v${version}`, " ", parts.serves),
      parts.score, parts.loss, parts.evalLoss, parts.rows, parts.time,
      h("td.buttons", serve, menu(`Actions of v${version}`, () => actions(version))));
    Object.assign(row, {parts, serve, pick});
    return row;
  }

  const actions = version => [
    {label: "Download weights", icon: "download", run: () => attempt(() => download(filePath(name,
      `versions/${version}/adapter_model.safetensors`), `${name}-v${version}.safetensors`))},
    {label: "Download its PEFT config", icon: "download", run: () => attempt(() => download(
      filePath(name, `versions/${version}/adapter_config.json`),
      `${name}-v${version}-adapter_config.json`))},
    ...version === current ? [] : [{label: "Remove", icon: "trash", bad: true,
      run: () => removeVersion(name, version)}]];

  /* The last two that were ticked are compared. */
  function choose(version, input) {
    const at = pair.findIndex(p => p.version === version);
    if (at >= 0) pair.splice(at, 1);
    if (input.checked) pair.push({version, input});
    if (pair.length > 2) pair.shift().input.checked = false;
    compare();
  }

  function compare() {
    const [a, b] = pair.map(p => p.version).sort((x, y) => x - y);
    if (b === undefined) {
      diff.replaceChildren(...pair.length ? [h("p.soft", "Tick another one, too.")] : []);
      return;
    }
    if (!told.has(a) || !told.has(b)) return; /* they are on their way */
    diff.replaceChildren(h("h2", `v${a} and v${b}`), differences(told.get(a), told.get(b), a, b));
  }

  /* Of a version that was removed. */
  function forget(version) {
    told.delete(version);
    const at = pair.findIndex(p => p.version === version);
    if (at < 0) return;
    pair.splice(at, 1);
    compare();
  }

  return {update: a => {
    current = a.current;
    for (const version of [...told.keys()]) if (!a.versions.includes(version)) forget(version);
    setHidden(none, a.versions.length > 0);
    setHidden(table, a.versions.length === 0);
    keyed(body, a.versions.toReversed(), v => v, makeRow, (row, v) => {
      setHidden(row.parts.serves, v !== a.current);
      setHidden(row.serve, v === a.current);
      load(v, row, String(a.files[`versions/${v}/metrics.json`]));
    });
  }, element: h("div.part", none, h("div.scroll", table), diff)};
}

const text = value => value === undefined ? "–"
  : typeof value === "string" ? value : JSON.stringify(value);

function differences(a, b, nameA, nameB) {
  const facts = t => ({
    score: t?.report?.eval?.score, "eval loss": t?.report?.train?.eval_loss,
    loss: t?.report?.train?.loss, rows: t?.report?.data?.rows,
    "rows' sha256": t?.report?.data?.sha256?.slice(0, 12)});
  const rows = [];
  const add = (what, left, right) => {
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)]))
      if (text(left[key]) !== text(right[key]))
        rows.push(h("tr", h("th", {scope: "row"}, key), h("td.soft", what),
                    h("td.num", text(left[key])), h("td.num", text(right[key]))));
  };
  add("setting", a?.config ?? {}, b?.config ?? {});
  add("outcome", facts(a), facts(b));
  if (!rows.length) return h("p.soft", "They do not differ in settings, rows or scores.");
  return h("div.scroll", h("table", h("thead", h("tr", h("th", "What differs"), h("th", ""),
    h("th.num", `v${nameA}`), h("th.num", `v${nameB}`))), h("tbody", rows)));
}
