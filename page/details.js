/* What a row of the list shows beyond /v1/tree: the curve. Asked for rows in sight alone, a few at
 * a time, and again when the file has changed. */
import {sparkline} from "./chart.js";
import {fileText} from "./store.js";

const AT_ONCE = 4;

const known = new Map(); /* by name: {stamp, spark} */
let waiting = [];
let running = 0;

/* The file of the version that serves; where it has none, the adapter's own. */
export function servedFile(adapter, name) {
  const file = `versions/${adapter.current}/${name}`;
  return file in adapter.files ? file : name;
}

async function load({adapter, stamp, done}) {
  try {
    const svg = await fileText(adapter.name, servedFile(adapter, "loss.svg"));
    known.set(adapter.name, {stamp, spark: svg ?? ""});
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
  const file = servedFile(adapter, "loss.svg"), stamp = `${file} ${adapter.files[file]}`;
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
