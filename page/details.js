/* What a row of the list shows beyond /v1/tree: scores, and the curve. Asked for rows in sight
 * alone, a few at a time, and again when the files have changed. */
import {sparkline} from "./chart.js";
import {fileJson, fileText} from "./store.js";

const AT_ONCE = 4;

const known = new Map(); /* by name: {stamp, report, spark} */
let waiting = [];
let running = 0;

/* {score, base, metric} of a metrics.json; null where nothing was scored. */
export function scoresOf(report) {
  if (!report?.eval && !report?.base) return null;
  return {score: report.eval?.score, base: report.base?.score,
          metric: report.eval?.metric ?? report.base?.metric};
}

/* The file of the version that serves; where it has none, the adapter's own. */
export function servedFile(adapter, name) {
  const file = `versions/${adapter.current}/${name}`;
  return file in adapter.files ? file : name;
}

async function load({adapter, stamp, done}) {
  try {
    const [report, svg] = await Promise.all([
      fileJson(adapter.name, servedFile(adapter, "metrics.json")),
      fileText(adapter.name, servedFile(adapter, "loss.svg"))]);
    known.set(adapter.name, {stamp, report, spark: svg ?? ""});
    done();
  } catch {
    /* It was removed or renamed meanwhile; the next listing says so. */
  }
}

function pump() {
  while (running < AT_ONCE && waiting.length) {
    running++;
    load(waiting.pop()).finally(() => {
      running--;
      pump();
    });
  }
}

/* What is known of an adapter of /v1/tree, or null; done() is called when there is more. */
export function detailsOf(adapter, done) {
  const stamp = ["metrics.json", "loss.svg"].map(name => servedFile(adapter, name))
    .map(file => `${file} ${adapter.files[file]}`).join(" ");
  const had = known.get(adapter.name);
  if (had?.stamp === stamp) return had;
  if (!waiting.some(w => w.adapter.name === adapter.name)) {
    /* What was asked for last is what is looked at. */
    waiting = waiting.slice(-40);
    waiting.push({adapter, stamp, done});
    pump();
  }
  return had ?? null;
}

export const sparkOf = details => details?.spark ? sparkline(details.spark) : null;
