/* Elements made in code. Whatever comes from outside (names, rows, answers) becomes text nodes:
 * nothing here, or in any other module, parses HTML. */

const SVG = "http://www.w3.org/2000/svg";

function put(element, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "data") Object.assign(element.dataset, value);
  else if (name in element && !(element instanceof SVGElement) && !name.startsWith("aria"))
    element[name] = value;
  else element.setAttribute(name, value === true ? "" : value);
}

function add(element, children) {
  for (const child of children.flat(Infinity))
    if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}

function make(create, what, props, children) {
  if (props === null || Object.getPrototypeOf(props) !== Object.prototype) {
    children.unshift(props);
    props = {};
  }
  const [tag, ...classes] = what.split(".");
  const element = create(tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(props)) put(element, name, value);
  return add(element, children);
}

/* h("button.primary", {onclick: f}, "Train"): a tag with classes, properties or attributes, and
 * children: nodes, texts, lists of them; null and false are left out. */
export function h(what, props = {}, ...children) {
  return make(name => document.createElement(name), what, props, children);
}

/* The same for SVG; properties are attributes. */
export function s(what, props = {}, ...children) {
  return make(name => document.createElementNS(SVG, name), what, props, children);
}

/* Sets what has changed alone, so that a selection or a screen reader's place in it stays. */
export function setText(element, text) {
  text = String(text ?? "");
  if (element.textContent !== text) element.textContent = text;
}

export function setClass(element, name) {
  if (element.className !== name) element.className = name;
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/* Makes container's children those of items, in their order: what was there under an item's key
 * stays the same element, and is told of the item by update. */
export function keyed(container, items, key, make, update) {
  const had = container.keyed ?? new Map();
  const now = new Map();
  let at = container.firstChild;
  for (const item of items) {
    const name = key(item);
    const element = had.get(name) ?? make(item);
    had.delete(name);
    now.set(name, element);
    update?.(element, item);
    if (element === at) at = at.nextSibling;
    else container.insertBefore(element, at);
  }
  for (const element of had.values()) element.remove();
  container.keyed = now;
}

const PATHS = {
  adapters: "M4 6h16M4 12h16M4 18h10",
  chat: "M4 5h16v11H9l-5 4z",
  jobs: "M5 4h14v5H5zM5 15h14v5H5zM12 9v6",
  studies: "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h6v6h-6z",
  machine: "M7 7h10v10H7zM10 3v4M14 3v4M10 17v4M14 17v4M3 10h4M3 14h4M17 10h4M17 14h4",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  back: "M15 5l-7 7 7 7",
  theme: "M12 4a8 8 0 1 0 8 8 6 6 0 0 1-8-8z",
  key: "M14.5 9.5a4 4 0 1 1-8 0 4 4 0 0 1 8 0zM13.5 12l6.5 7M17 16l-2 2",
  upload: "M12 16V5M7 10l5-5 5 5M5 19h14",
  download: "M12 5v11M7 11l5 5 5-5M5 19h14",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  play: "M7 5l11 7-11 7z",
  pause: "M8 5v14M16 5v14",
  stop: "M7 7h10v10H7z",
  finish: "M6 21V4h11l-2 4 2 4H6",
  again: "M19 12a7 7 0 1 1-2-5M19 4v4h-4",
  edit: "M5 19l1-4L16 5l3 3L9 18z",
  send: "M5 12l14-7-5 14-3-6z",
  copy: "M9 9h10v11H9zM6 15H5V4h10v2",
};

export function icon(name) {
  return s("svg.icon", {viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false"},
           s("path", {d: PATHS[name]}));
}
