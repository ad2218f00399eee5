/* Parts that several views have: messages, dialogs, menus, tabs, badges, bars. */
import {h, icon, setClass, setText} from "./dom.js";

const TOAST_MS = 8000;

/* A message at the bottom; action: {label, run} is a button in it. Errors stay until closed, and
 * one that is there is not said again. */
export function toast(text, {action, bad = false} = {}) {
  const shown = [...document.querySelectorAll("#toasts .bad span")];
  if (bad && shown.some(said => said.textContent === text)) return;
  const close = () => element.remove();
  const element = h(bad ? "div.toast.bad" : "div.toast", {role: bad ? "alert" : null},
    h("span", text),
    action && h("button", {onclick: () => { close(); action.run(); }}, action.label),
    h("button.icon-button", {"aria-label": "Close", onclick: close}, icon("close")));
  document.getElementById("toasts").append(element);
  if (!bad) setTimeout(close, TOAST_MS);
}

/* Runs what may be refused, and shows the reason. Resolves to what fn gave; undefined: refused. */
export async function attempt(fn) {
  try {
    return await fn();
  } catch (error) {
    if (error.name !== "AbortError" && error.status !== 401) toast(error.message, {bad: true});
    return undefined;
  }
}

/* A form in a dialog. submit(values) may throw: the reason is shown and the dialog stays. */
export function dialog(title, fields, label, submit) {
  const error = h("p.error", {role: "alert"});
  const box = h("dialog", {"aria-labelledby": "dialog-title"},
    h("form", {method: "dialog", onsubmit: async event => {
      event.preventDefault();
      setText(error, "");
      try {
        await submit(Object.fromEntries(new FormData(event.target)));
        box.close();
      } catch (refused) {
        setText(error, refused.message);
      }
    }},
    h("h2", {id: "dialog-title"}, title), fields, error,
    h("div.buttons", h("button", {type: "button", onclick: () => box.close()}, "Cancel"),
      h("button.primary", {type: "submit"}, label))));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

let fields = 0;

/* A labelled input with its help. */
export function field(label, input, help) {
  const id = `field-${++fields}`;
  input.id = id;
  if (help) input.setAttribute("aria-describedby", `${id}-help`);
  return h("div.field", h("label", {htmlFor: id}, label), input,
           help && h("small", {id: `${id}-help`}, help));
}

export const nameInput = value => h("input", {
  name: "name", required: true, maxLength: 64, pattern: "[A-Za-z0-9_\\-][A-Za-z0-9._\\-]*",
  title: "Letters, digits, '.', '_' and '-'", autocomplete: "off", spellcheck: false,
  value: value ?? ""});

/* A button that opens a menu of {label, icon, run, bad}. */
export function menu(label, items) {
  const list = h("div.menu", {popover: "auto", role: "menu"});
  const button = h("button.icon-button", {"aria-label": label, "aria-haspopup": "menu",
    onclick: event => {
      event.stopPropagation();
      list.replaceChildren(...items().map(item => h(item.bad ? "button.bad" : "button", {
        role: "menuitem", onclick: e => { e.stopPropagation(); list.hidePopover(); item.run(); }},
        icon(item.icon), item.label)));
      list.togglePopover();
      const at = button.getBoundingClientRect();
      list.style.top = `${Math.min(at.bottom + 4, innerHeight - list.offsetHeight - 8)}px`;
      list.style.left = `${Math.max(8, at.right - list.offsetWidth)}px`;
      list.firstChild?.focus();
    }}, icon("more"));
  list.addEventListener("keydown", event => {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const all = [...list.children];
    all.at((all.indexOf(document.activeElement) + step) % all.length).focus();
  });
  list.addEventListener("toggle", event => {
    if (event.newState === "closed" && list.contains(document.activeElement)) button.focus();
  });
  return h("span.menu-of", button, list);
}

/* Links of a view's parts: items are [name, label], href makes the address. */
export function tabs(label, items, active, href) {
  return h("nav.tabs", {"aria-label": label}, items.map(([name, text]) => h("a", {
    href: href(name), "aria-current": name === active ? "page" : null}, text)));
}

/* Buttons of which one is chosen. */
export function choice(label, items, value, change) {
  const buttons = items.map(([name, text]) => h("button", {type: "button", onclick: () => {
    for (const b of buttons) b.setAttribute("aria-pressed", b.name === name);
    change(name);
  }, name, "aria-pressed": String(name === value)}, text));
  return h("div.choice", {role: "group", "aria-label": label}, buttons);
}

export function badge(state) {
  return h(`span.badge.${state}`, state);
}

export function setBadge(element, state) {
  setClass(element, `badge ${state}`);
  setText(element, state);
}

/* A progress bar with its words. */
export function progress(label) {
  return h("div.progress", h("progress", {max: 1, value: 0, "aria-label": label}), h("small"));
}

export function setProgress(element, value, text) {
  const [bar, words] = element.children;
  if (bar.value !== value) bar.value = value;
  setText(words, text);
}

/* A score beside the base's: a bar, on which a mark is the base. */
export function scoreBar(score, base) {
  const part = x => `${100 * Math.min(1, Math.max(0, x ?? 0))}%`;
  const fill = h(base != null && score < base ? "i.fill.below" : "i.fill");
  const mark = base == null ? null : h("i.mark");
  fill.style.width = part(score);
  if (mark) mark.style.left = part(base);
  return h("span.score-bar", {"aria-hidden": "true"}, fill, mark);
}

export function empty(title, text, ...more) {
  return h("div.nothing", h("h2", title), h("p", text), more);
}
