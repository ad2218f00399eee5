/* Rows before anything is trained on them: the daemon says what is learnt of each, and which are
 * wrong. A long file is sent piece by piece. */
import {adapterPath, send} from "./api.js";
import {h} from "./dom.js";
import {number, plural} from "./format.js";

const PIECE_BYTES = 4 << 20; /* a request's ceiling is 8 MiB */
const SAMPLE = 20;
const FAULTS_SHOWN = 200;
const SUMS = ["rows", "tokens", "supervised_tokens", "lost_rows", "cut_prompts", "cut_completions",
              "n_faults"];

/* Where lines end, so that the pieces of a file of lines are files of lines; null: it is none
 * (packed, or Parquet). */
async function piecesOf(file) {
  if (file.size <= PIECE_BYTES) return [file];
  const out = [];
  for (let at = 0; at < file.size;) {
    const bytes = new Uint8Array(await file.slice(at, at + PIECE_BYTES).arrayBuffer());
    if (at === 0 && bytes[0] !== 0x7b) return null; /* "{" */
    const end = at + bytes.length >= file.size ? bytes.length : bytes.lastIndexOf(10) + 1;
    if (end === 0) return null;
    out.push(file.slice(at, at + end));
    at += end;
  }
  return out;
}

async function linesIn(piece) {
  const bytes = new Uint8Array(await piece.arrayBuffer());
  let n = 0;
  for (const b of bytes) n += b === 10;
  return n;
}

/* Checks a file for an adapter. told(report, part) is called after each piece; resolves to the
 * report of all, or null for a file that is too large to be looked at before it is uploaded. */
export async function checkRows(name, file, signal, told = () => {}) {
  const pieces = await piecesOf(file);
  if (!pieces) return null;
  const report = {sample: [], faults: [], unit: "line"};
  for (const sum of SUMS) report[sum] = 0;
  let before = 0;
  for (const [i, piece] of pieces.entries()) {
    const part = await send("POST", adapterPath(name, `/rows?first=${i ? 0 : SAMPLE}`), piece,
                            {signal});
    for (const sum of SUMS) report[sum] += part[sum];
    for (const fault of part.faults) fault.place += before;
    report.faults.push(...part.faults);
    if (!i) Object.assign(report, {sample: part.sample, unit: part.unit, form: part.form});
    if (pieces.length > 1) before += await linesIn(piece);
    told(report, (i + 1) / pieces.length);
  }
  return report;
}

/* What carries loss is marked by colour and by <mark>; special characters are as they are. */
const pieceOf = piece => h(piece.learnt ? "mark.learnt" : "span.context", piece.text);

function sampleOf(row, unit) {
  return h("li.sample", h("small", `${unit} ${number(row.place)}`,
    row.kind && `, ${row.kind}`, `: ${plural(row.tokens, "token")}, ${number(row.learnt)} learnt`),
    h("div.row-text", row.pieces.map(pieceOf)));
}

export function reportOf(report) {
  const {unit} = report;
  const facts = [plural(report.rows, "row"), plural(report.tokens, "token"),
                 `${number(report.supervised_tokens)} learnt`];
  if (report.lost_rows) facts.push(`${plural(report.lost_rows, "row")} with nothing to learn`);
  if (report.cut_prompts) facts.push(`${plural(report.cut_prompts, "prompt")} cut`);
  if (report.cut_completions) facts.push(`${plural(report.cut_completions, "completion")} cut`);
  return [
    h("p.facts", facts.join(" · ")),
    report.n_faults > 0 && h("div.faults", {role: "alert"},
      h("h3", `${plural(report.n_faults, "row is", "rows are")} wrong`),
      h("ol", report.faults.slice(0, FAULTS_SHOWN).map(f => h("li", h("b", `${unit} ${f.place}`),
        ` ${f.reason}`))),
      report.n_faults > FAULTS_SHOWN && h("p.soft", "The first are shown.")),
    report.sample.length > 0 && h("div", h("h3", "As they are learnt"),
      h("p.soft", h("mark.learnt", "Marked"), " text carries loss, ",
        h("span.context", "the rest"), " is context."),
      h("ul.samples", report.sample.map(row => sampleOf(row, unit)))),
  ];
}
