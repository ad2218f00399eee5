/* Logs of trainings: their lines, as curves, whole or as they grow. */
import {filePath, request} from "./api.js";
import {fileText, store} from "./store.js";

const TAIL_BYTES = 8 << 20; /* of a log that is followed, so much at first */

const line = text => {
  try {
    return JSON.parse(text);
  } catch {
    return null; /* the part of a line that a range began in */
  }
};

export const linesOf = text => text.split("\n").filter(Boolean).map(line).filter(Boolean);

/* Curves of lines: {trial: {loss: [[step, y], ...], eval_loss, learning_rate, grad_norm,
 * tokens_per_second}}; trial is "" where there is no sweep. Steps that are reported again, after a
 * restart, take the place of the first. */
export function curvesOf(lines) {
  const out = new Map();
  for (const at of lines) {
    if (at.event !== "step" && at.event !== "eval") continue;
    const trial = at.trial ?? "";
    if (!out.has(trial)) out.set(trial, {});
    const curves = out.get(trial);
    for (const name of ["loss", "eval_loss", "learning_rate", "grad_norm", "tokens_per_second"]) {
      if (at[name] == null) continue;
      const points = curves[name] ??= [];
      while (points.length && points.at(-1)[0] >= at.step) points.pop();
      points.push([at.step, at[name]]);
    }
  }
  return out;
}

/* A version's lines; [] where it has none. */
export async function versionLines(name, version) {
  return linesOf(await fileText(name, `versions/${version}/log`) ?? "");
}

/* A log that grows: more() resolves to the lines that are new since the last call. */
export class LogTail {
  constructor(name, bytes) {
    this.name = name;
    this.at = Math.max(0, (bytes ?? 0) - TAIL_BYTES);
    this.begin();
  }

  begin() {
    this.rest = "";
    this.decoder = new TextDecoder();
  }

  async more() {
    if (!("log" in (store.adapters.get(this.name)?.files ?? {}))) return [];
    /* From a byte that was read before, so that there is something to send. */
    const from = Math.max(0, this.at - 1);
    let response;
    try {
      response = await request("GET", filePath(this.name, "log"),
                               {headers: {Range: `bytes=${from}-`}});
    } catch (error) {
      if (error.status !== 416) throw error;
      this.at = 0; /* it is another log, and a shorter one */
      this.begin();
      return [];
    }
    const data = new Uint8Array(await response.arrayBuffer()).subarray(this.at - from);
    this.at += data.length;
    const lines = (this.rest + this.decoder.decode(data, {stream: true})).split("\n");
    this.rest = lines.pop();
    return linesOf(lines.join("\n"));
  }
}
