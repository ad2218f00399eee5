/* The daemon's HTTP API, the only thing that the page talks to. The key, where one is needed, is
 * kept for the tab's life. */

const KEY = "lorafs-key";

/* What the daemon refused: its reason, fit to be shown, and its code. status 0: it does not
 * answer. */
export class Refused extends Error {
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let onDenied = () => {};

/* Called with a 401, which wants another key. */
export function whenDenied(fn) {
  onDenied = fn;
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;

export function setKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

async function reason(response) {
  const text = await response.text();
  try {
    const {message, code} = JSON.parse(text).error;
    return new Refused(response.status, message, code);
  } catch {
    return new Refused(response.status, text.slice(0, 500) || `status ${response.status}`, "");
  }
}

/* The response, whose status is 2xx or 304. */
export async function request(method, path, {body, headers = {}, signal} = {}) {
  const key = sessionStorage.getItem(KEY);
  if (key) headers = {...headers, Authorization: `Bearer ${key}`};
  let response;
  try {
    response = await fetch(path, {method, body, headers, signal, cache: "no-store"});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The daemon does not answer", "unreachable");
  }
  if (response.ok || response.status === 304) return response;
  const refused = await reason(response);
  if (refused.status === 401) onDenied(refused);
  throw refused;
}

export const getJson = async (path, options) => (await request("GET", path, options)).json();
export const getText = async (path, options) => (await request("GET", path, options)).text();

export async function send(method, path, body, options = {}) {
  const text = body === undefined || typeof body === "string" || body instanceof Blob
    ? body : JSON.stringify(body);
  return (await request(method, path, {...options, body: text})).json();
}

export const adapterPath = (name, rest = "") => `/v1/adapters/${encodeURIComponent(name)}${rest}`;
export const filePath = (name, file) => adapterPath(name, `/files/${file}`);

/* Calls fn with each event of a stream of server-sent events, as it comes. */
export async function events(path, body, signal, fn) {
  const response = await request("POST", path, {body: JSON.stringify(body), signal});
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
      const event = JSON.parse(line.slice(6));
      if (event.error) throw new Refused(200, event.error.message, event.error.code);
      fn(event);
    }
  }
}

/* Saves a file of the daemon's under a name. */
export async function download(path, name) {
  const url = URL.createObjectURL(await (await request("GET", path)).blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
