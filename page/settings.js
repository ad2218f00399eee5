/* An adapter's settings as a form. Which there are, what they may be and what they do comes from
 * the daemon's own table, by /openapi.json. */
import {settingsOf} from "./actions.js";
import {filePath, getJson, request} from "./api.js";
import {h, setHidden, setText} from "./dom.js";
import {fileJson, refresh} from "./store.js";
import {field, toast} from "./ui.js";

let table = null; /* asked for once */

const schema = async () =>
  table ??= (await getJson("/openapi.json")).components.schemas.Settings.properties;

/* A value as its input shows it; several, of a sweep, are parted by commas. */
function shown(value) {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value) && value.every(v => typeof v === "number")) return value.join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

const kinds = property => [property.type ?? property.anyOf?.map(t => t.type) ?? []].flat(2);
const isNumber = property => kinds(property).some(k => k === "number" || k === "integer");

/* What stands in an input, as config.json has it; undefined: nothing does. */
function read(input, property) {
  const text = input.value;
  if (text.trim() === "") return undefined;
  if (kinds(property).includes("boolean")) return text === "true";
  if (isNumber(property)) {
    const list = text.split(",").map(part => part.trim()).filter(Boolean)
      .map(part => Number.isNaN(Number(part)) ? part : Number(part));
    return list.length === 1 ? list[0] : list;
  }
  if (/^\s*[[{]/.test(text) && kinds(property).some(k => k === "array" || k === "object")) {
    try {
      return JSON.parse(text);
    } catch {
      throw new Error(`${input.name}: this is no JSON`);
    }
  }
  return text;
}

function inputOf(name, property, value) {
  const standing = value === "" ? "default" : `default: ${value}`;
  const choices = property.enum?.filter(v => v !== null)
    ?? (kinds(property).includes("boolean") ? ["true", "false"] : null);
  if (choices)
    return h("select", {name}, h("option", {value: ""}, standing),
             choices.map(v => h("option", {value: String(v)}, String(v))));
  if (name === "template" || name === "completion")
    return h("textarea", {name, rows: 2, placeholder: standing, spellcheck: false});
  return h("input", {name, type: "text", placeholder: standing, autocomplete: "off",
                     spellcheck: false, inputMode: isNumber(property) ? "decimal" : "text"});
}

function range(property) {
  if (property.minimum === undefined || property.maximum === undefined) return "";
  const most = property.maximum >= 1e9 ? "" : ` to ${property.maximum}`;
  return ` (${most ? property.minimum : `from ${property.minimum}`}${most})`;
}

export default function settings(name) {
  const grid = h("div.settings"), problem = h("p.error", {role: "alert"});
  const find = h("input.search", {type: "search", placeholder: "Find a setting",
                                  "aria-label": "Find a setting", oninput: narrow});
  const only = h("input", {type: "checkbox", onchange: narrow});
  const count = h("span.soft", {role: "status"});
  let properties = {}, had = {};

  function narrow() {
    const words = find.value.toLowerCase();
    for (const one of grid.children) {
      const input = one.querySelector("[name]");
      setHidden(one, only.checked && !input.value
        || !`${input.name} ${properties[input.name].description}`.toLowerCase().includes(words));
    }
  }

  function note() {
    let n = 0;
    for (const one of grid.children) {
      const set = one.querySelector("[name]").value.trim() !== "";
      one.classList.toggle("set", set);
      n += set;
    }
    setText(count, `${n} set`);
  }

  async function load() {
    try {
      const [all, config, force] = await Promise.all([
        schema(), settingsOf(name), fileJson(name, "settings")]);
      properties = all;
      had = config;
      grid.replaceChildren(...Object.entries(all).map(([key, property]) => {
        const standing = shown(property.default ?? force?.[key]);
        const input = inputOf(key, property, standing);
        /* A default that was written down is none that was chosen. */
        input.value = shown(config[key]) === standing ? "" : shown(config[key]);
        return field(key, input, `${property.description ?? ""}${range(property)}`);
      }));
      note();
    } catch (error) {
      setText(problem, error.message);
    }
  }

  /* The reason names the setting that is wrong; it is shown there. */
  function blame(message) {
    setText(problem, message);
    const wrong = [...grid.querySelectorAll("[name]")].find(i => message.includes(`"${i.name}"`)
                                                             || message.startsWith(i.name));
    wrong?.setAttribute("aria-invalid", "true");
    wrong?.focus();
  }

  async function save() {
    setText(problem, "");
    try {
      const config = {};
      for (const input of grid.querySelectorAll("[name]")) {
        input.removeAttribute("aria-invalid");
        const value = read(input, properties[input.name]);
        if (value !== undefined) config[input.name] = value;
      }
      for (const key of Object.keys(had)) if (!(key in properties)) config[key] = had[key];
      await request("PUT", filePath(name, "config.json"), {body: JSON.stringify(config, null, 1)});
      had = config;
      toast("The settings are saved: they are of the next training");
      await refresh();
    } catch (error) {
      blame(error.message);
    }
  }

  load();
  return {element: h("form.part", {oninput: note, onsubmit: event => {
    event.preventDefault();
    save();
  }},
  h("div.bar", find, h("label.check", only, " only what is set"), count,
    h("div.tools", h("button", {type: "button", onclick: load}, "Discard changes"),
      h("button.primary", {type: "submit"}, "Save settings"))),
  h("p.soft", "What is left empty has its default. Several numbers, parted by commas, are a sweep: "
    + "one training for each, side by side, and the best becomes the version."),
  problem, grid)};
}
