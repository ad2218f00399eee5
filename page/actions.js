/* What is done to an adapter as a whole: made, cloned, renamed, removed and brought back. */
import {adapterPath, filePath, request, send} from "./api.js";
import {h} from "./dom.js";
import {change, fileJson, refresh, store} from "./store.js";
import {attempt, dialog, field, nameInput, toast} from "./ui.js";

const COPIED = ["config.json", "template", "prompt", "eval.jsonl", "dataset.jsonl"];
const WEIGHTS = ["adapter/adapter_config.json", "adapter/adapter_model.safetensors"];

export const addressOf = (name, tab) =>
  `#/adapters/${encodeURIComponent(name)}${tab ? `/${tab}` : ""}`;

export function createAdapter() {
  dialog("New adapter", [
    field("Name", nameInput(), "Letters, digits, dots, - and _"),
  ], "Create", async ({name}) => {
    await send("POST", "/v1/adapters", {name});
    await refresh();
    location.hash = addressOf(name, "data");
  });
}

async function copyFile(from, to, file) {
  const blob = await (await request("GET", filePath(from, file))).blob();
  await request("PUT", filePath(to, file), {body: blob});
}

export function cloneAdapter(name) {
  dialog(`Clone ${name}`, [
    field("Name of the copy", nameInput(`${name}-copy`.slice(0, 64))),
    h("label.check", h("input", {type: "checkbox", name: "weights", checked: true}),
      " with the version that is served"),
  ], "Clone", async ({name: to, weights}) => {
    await send("POST", "/v1/adapters", {name: to});
    const has = store.adapters.get(name).files;
    const files = COPIED.filter(f => f in has)
      .concat(weights ? WEIGHTS.filter(f => f in has) : []);
    for (const file of files) await copyFile(name, to, file);
    await refresh();
    location.hash = addressOf(to);
  });
}

export function renameAdapter(name, done) {
  dialog(`Rename ${name}`, [field("New name", nameInput(name))], "Rename",
         async ({name: to}) => {
    await change(() => send("POST", adapterPath(name, "/rename"), {to}));
    done?.(to);
  });
}

/* Into the trash, with a way back. */
export async function removeAdapters(names) {
  const gone = [];
  await change(async () => {
    for (const name of names)
      if (await attempt(() => send("DELETE", adapterPath(name)))) gone.push(name);
  });
  if (!gone.length) return;
  toast(`${gone.length === 1 ? gone[0] : `${gone.length} adapters`} ${
    gone.length === 1 ? "is" : "are"} in the trash`,
  {action: {label: "Undo", run: async () => {
    for (const name of gone) await restore(name);
  }}});
}

export async function removeVersion(name, version) {
  const gone = await attempt(() => send("DELETE", filePath(name, `versions/${version}`)));
  if (!gone) return;
  await refresh();
  toast(`v${version} of ${name} is in the trash`,
        {action: {label: "Undo", run: () => restore(gone.trash)}});
}

/* entry: as the trash lists it, or an adapter's name. */
export async function restore(entry) {
  const back = await attempt(() => send("POST", `/v1/trash/${encodeURIComponent(entry)}/restore`,
                                        {}));
  if (!back) return;
  await refresh();
  toast(`${back.version ? `v${back.version} of ` : ""}${back.restored} is back`);
}

export async function order(name, command) {
  const done = await attempt(() => send("POST", adapterPath(name, "/ctl"), command));
  await refresh();
  return done;
}

/* What an adapter's directory says of its settings: config.json's own members. */
export const settingsOf = async name => await fileJson(name, "config.json") ?? {};
