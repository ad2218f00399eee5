/* The trash: what was removed in the last seven days. */
import {restore} from "./actions.js";
import {getJson, send} from "./api.js";
import {h, keyed} from "./dom.js";
import {ago, bytes} from "./format.js";
import {attempt, dialog, empty} from "./ui.js";

function forGood(title, path, done) {
  dialog(title, [h("p", "What is thrown away cannot be brought back.")], "Throw away",
         async () => {
    await send("DELETE", path);
    done();
  });
}

export default function trash() {
  const body = h("tbody"), none = h("div");
  const load = () => attempt(async () => {
    const {trash: list} = await getJson("/v1/trash");
    none.replaceChildren(...list.length ? [] : [empty("The trash is empty", "")]);
    keyed(body, list.toReversed(), entry => entry.entry, makeRow);
  });
  const nameOf = ({name, version}) => (name ?? "a damaged part") + (version ? ` v${version}` : "");
  const makeRow = entry => h("tr",
    h("td", nameOf(entry)), h("td.num", bytes(entry.bytes)),
    h("td", ago(entry.removed_ms)),
    h("td.buttons", entry.name && h("button", {onclick: async () => {
      await restore(entry.entry);
      load();
    }}, "Restore"),
    h("button.bad", {onclick: () => forGood(`Throw ${nameOf(entry)} away`,
      `/v1/trash/${encodeURIComponent(entry.entry)}`, load)}, "Throw away")));
  load();
  return {title: "Trash", element: h("section.view",
    h("div.view-head", h("h1", "Trash"), h("span.soft", "Kept for seven days"),
      h("div.tools", h("button.bad", {onclick: () => forGood("Empty the trash", "/v1/trash", load)},
                       "Empty"))),
    none, h("div.scroll", h("table", h("thead", h("tr", h("th", "What"), h("th.num", "Size"),
      h("th", "Removed"), h("th", h("span.hidden", "Actions")))), body)))};
}
