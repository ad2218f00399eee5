/* The page: its frame, the address that says which view is shown, and the login.
 *
 * api.js asks the daemon; store.js keeps what it said last, and tells the views; a view's module
 * has one function that makes its element. dom.js, ui.js, list.js and chart.js are what views are
 * made of. Addresses are "#/adapters/viggo/data": the view, then what it shows. */
import {hasKey, setKey, whenDenied} from "./api.js";
import {h, icon, setClass, setText} from "./dom.js";
import {restart, store, watch} from "./store.js";
import {dialog, field} from "./ui.js";
import adapter from "./adapter.js";
import adapters from "./adapters.js";
import chat from "./chat.js";
import jobs from "./jobs.js";
import machine from "./machine.js";
import studies from "./studies.js";
import trash from "./trash.js";

const VIEWS = [["adapters", "Adapters"], ["chat", "Chat"], ["jobs", "Jobs"],
               ["studies", "Studies"], ["machine", "Machine"]];
const THEMES = ["auto", "light", "dark"];

const main = document.getElementById("main");
let shown = null;

/* ---- The view */

/* A view's function: its name in the address, and what follows. It makes {title, element, close}:
 * close, where there is one, is called when another takes its place. */
function viewOf(parts, query) {
  switch (parts[0]) {
  case "adapters": return parts[1] ? adapter(parts[1], parts[2] ?? "curves", query) : adapters();
  case "chat": return chat(query);
  case "jobs": return jobs();
  case "machine": return machine();
  case "studies": return studies(parts[1]);
  case "trash": return trash();
  default: return adapters();
  }
}

/* What a person typed may be no such address. */
function partOf(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function show() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").map(partOf);
  shown?.close?.();
  shown = viewOf(parts, new URLSearchParams(query));
  document.title = `${shown.title} · lorafs`;
  main.replaceChildren(shown.element);
  for (const link of document.getElementById("nav").children)
    if (link.dataset.view === (parts[0] || "adapters")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
}

/* ---- The frame */

function applyTheme() {
  const theme = localStorage.getItem("lorafs-theme") ?? "auto";
  document.documentElement.dataset.theme = theme;
  return theme;
}

function nextTheme(event) {
  const next = THEMES[(THEMES.indexOf(applyTheme()) + 1) % THEMES.length];
  localStorage.setItem("lorafs-theme", next);
  event.currentTarget.setAttribute("aria-label", `Theme: ${applyTheme()}`);
}

function frame() {
  const jobCount = h("span.count");
  document.getElementById("nav").append(...VIEWS.map(([name, title]) => h("a", {
    href: `#/${name}`, data: {view: name}}, icon(name), h("span", title),
    name === "jobs" && jobCount)));
  const base = h("div.base"), dot = h("i.dot"), health = h("span");
  document.getElementById("foot").append(base, h("div.health", {role: "status"}, dot, health),
    h("div.row",
      h("button.icon-button", {"aria-label": `Theme: ${applyTheme()}`, onclick: nextTheme},
        icon("theme")),
      h("button.icon-button", {"aria-label": "API key", onclick: () => login("")}, icon("key")),
      h("a.small", {href: "/openapi.json", target: "_blank"}, "API")));
  watch(() => {
    const open = store.jobs.filter(j => ["running", "queued"].includes(j.state)).length;
    setText(jobCount, open || "");
    setText(base, store.bases.map(b => b.name).join(", "));
    base.title = store.version ? `lorafs ${store.version}` : "";
    setClass(dot, `dot ${store.health.state}`);
    setText(health, store.health.text);
  });
}

/* ---- The login */

let asked = null;

function login(why) {
  if (asked?.open) return;
  asked = dialog("API key", [
    why && h("p", why),
    h("p.soft", "The key is kept in this tab until it is closed."),
    field("Key", h("input", {name: "key", type: "password", autocomplete: "current-password",
                             required: !hasKey()})),
  ], "Log in", async ({key}) => {
    setKey(key.trim());
    asked.close();
    asked = null;
    await restart();
    if (!asked?.open) show();
  });
}

whenDenied(() => login(hasKey() ? "The daemon does not know this key."
                                : "This daemon wants a key."));
frame();
addEventListener("hashchange", () => {
  show();
  main.focus({preventScroll: true});
});
await restart();
show();
