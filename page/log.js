/* An adapter's log, as it grows. */
import {LogTail} from "./trainlog.js";
import {h, setHidden} from "./dom.js";
import {attempt} from "./ui.js";

const LINES = 500; /* that are shown; the file has them all */
const LOUD = new Set(["failed", "warning", "refused", "not scored", "not served"]);

const kindOf = event => event === "step" ? "step" : LOUD.has(event) ? "loud" : "event";

const words = line => Object.entries(line)
  .filter(([key]) => !["time", "event"].includes(key))
  .map(([key, value]) => `${key} ${typeof value === "number" && !Number.isInteger(value)
    ? Number(value.toPrecision(5)) : typeof value === "string" ? value : JSON.stringify(value)}`)
  .join(", ");

export default function log(name) {
  const list = h("ol.log", {"aria-label": "Log", tabindex: "0"});
  const every = h("input", {type: "checkbox", onchange: () => {
    list.classList.toggle("all", every.checked);
  }});
  const none = h("p.soft", "Nothing has happened yet.");
  let tail = null, asking = false;

  async function more(a) {
    if (asking) return;
    asking = true;
    tail ??= new LogTail(name, a.files.log?.[0]);
    const lines = await attempt(() => tail.more()) ?? [];
    asking = false;
    const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
    for (const line of lines.slice(-LINES))
      list.append(h(`li.${kindOf(line.event)}`,
        h("time", {dateTime: line.time}, line.time?.slice(11, 19) ?? ""), h("b", line.event),
        h("span", words(line))));
    while (list.children.length > LINES) list.firstChild.remove();
    setHidden(none, list.children.length > 0);
    if (lines.length && atEnd) list.scrollTop = list.scrollHeight;
  }

  return {update: more, element: h("div.part",
    h("div.bar", h("label.check", every, " every step")), none, list)};
}
