/* What is wrong with how a view looks and reads: a list of sentences. Run in the page. */
const problems = [];
const shown = e => e.checkVisibility({visibilityProperty: true, opacityProperty: true})
  && e.getClientRects().length > 0;
const nameOf = e => `${e.tagName.toLowerCase()}.${e.className.baseVal ?? e.className} `
  + `"${(e.getAttribute("aria-label") || e.textContent).trim().slice(0, 40)}"`;

/* Colours as [r, g, b, a]: a canvas knows every spelling of them. */
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
function colour(text) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = text;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
const over = ([r, g, b, a], under) => [r, g, b].map((c, i) => c * a + under[i] * (1 - a));
function groundOf(e) {
  const layers = [];
  for (let at = e; at; at = at.parentElement)
    layers.push(colour(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
}
function luminance(rgb) {
  const [r, g, b] = rgb.map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92
    : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(a, b) {
  const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
  return (x + 0.05) / (y + 0.05);
}

const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const e = node.parentElement;
  if (!node.textContent.trim() || !shown(e) || e.closest(":disabled, noscript, .skip, .hidden"))
    continue;
  const style = getComputedStyle(e), ground = groundOf(e);
  const ink = e instanceof SVGElement ? style.fill : style.color;
  const found = contrast(over(colour(ink), ground), ground);
  const large = parseFloat(style.fontSize) >= 24
    || parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700;
  if (found < (large ? 3 : 4.5))
    problems.push(`contrast ${found.toFixed(2)} of ${nameOf(e)}`);
}

/* Lines of charts and edges of controls: 3 to 1. */
for (const e of document.querySelectorAll(".plot .line:not(.faint), .spark path"))
  if (shown(e)) {
    const ground = groundOf(e.closest("div"));
    const found = contrast(over(colour(getComputedStyle(e).stroke), ground), ground);
    if (found < 3) problems.push(`contrast ${found.toFixed(2)} of the curve ${nameOf(e)}`);
  }

const controls = [...document.querySelectorAll("a[href], button, input, select, textarea, summary")]
  .filter(e => shown(e) && !e.disabled && !e.closest(".skip"));
for (const e of controls) {
  const name = e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent
    || e.title || e.querySelector("img")?.alt;
  if (!name?.trim()) problems.push(`no name: ${nameOf(e)}`);
  const box = (e.closest("label") ?? e).getBoundingClientRect();
  if (box.height < 24 && e.tagName !== "A" && !e.classList.contains("hidden"))
    problems.push(`${Math.round(box.height)} pixels high: ${nameOf(e)}`);
}
/* What is chosen is read whole, beside the arrow. */
for (const e of document.querySelectorAll("select")) {
  if (!shown(e) || !e.selectedOptions.length) continue;
  const style = getComputedStyle(e), size = parseFloat(style.fontSize);
  canvas.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  const wide = canvas.measureText(e.selectedOptions[0].text).width + size;
  const room = e.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  if (wide > room) problems.push(`${Math.round(wide)} pixels in ${Math.round(room)}: ${nameOf(e)}`);
}
for (const e of document.querySelectorAll("img:not([alt])")) problems.push(`no alt: ${nameOf(e)}`);
for (const e of document.querySelectorAll("[aria-describedby], [aria-labelledby], label[for]"))
  for (const id of [e.getAttribute("aria-describedby"), e.getAttribute("aria-labelledby"),
                    e.getAttribute("for")].filter(Boolean))
    if (!document.getElementById(id)) problems.push(`no element ${id}, of ${nameOf(e)}`);

const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
for (const id of new Set(ids.filter((x, i) => ids.indexOf(x) !== i)))
  problems.push(`two ids ${id}`);

let level = 0;
for (const e of document.querySelectorAll("main :is(h1, h2, h3, h4, h5, h6)")) {
  if (!shown(e)) continue;
  const now = Number(e.tagName[1]);
  if (now > level + 1) problems.push(`a heading of level ${now} after ${level}: ${nameOf(e)}`);
  level = now;
}
if (document.querySelectorAll("main h1").length !== 1) problems.push("there is not one h1");
if (!document.documentElement.lang) problems.push("no language");
for (const e of document.querySelectorAll("[tabindex]"))
  if (e.tabIndex > 0) problems.push(`an order of its own: ${nameOf(e)}`);
if (document.documentElement.scrollWidth > innerWidth)
  problems.push(`${document.documentElement.scrollWidth} pixels wide, of ${innerWidth}`);
const main = document.getElementById("main");
if (main.scrollWidth > main.clientWidth)
  problems.push(`the view is ${main.scrollWidth} pixels wide, of ${main.clientWidth}`);
return [...new Set(problems)];
