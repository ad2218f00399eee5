/* Curves over steps or time: several series in one picture, zoomed by dragging or with + and -,
 * read by hovering or with the arrow keys. Drawn as SVG; of many points each pixel column's least
 * and greatest are kept. */
import {h, s, setHidden} from "./dom.js";
import {number} from "./format.js";

const MARGIN = {left: 56, right: 12, top: 12, bottom: 30};

function steps(lo, hi, wanted) {
  const raw = (hi - lo) / wanted || 1;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find(k => k * unit >= raw) * unit;
  const out = [];
  for (let v = Math.ceil(lo / step) * step; v <= hi + step * 1e-9; v += step)
    out.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return out;
}

/* The points that a picture of so many columns needs, in order. */
function thin(points, x0, x1, columns) {
  const inside = points.filter((p, i) => (points[i + 1]?.[0] ?? p[0]) >= x0
                                      && (points[i - 1]?.[0] ?? p[0]) <= x1);
  if (inside.length <= 2 * columns) return inside;
  const out = [];
  let column = -1, least = null, most = null;
  const flush = () => {
    if (!least) return;
    out.push(...(least[0] <= most[0] ? [least, most] : [most, least]));
  };
  for (const p of inside) {
    const at = Math.floor((p[0] - x0) / (x1 - x0) * columns);
    if (at !== column) {
      flush();
      column = at;
      least = most = p;
    }
    if (p[1] < least[1]) least = p;
    if (p[1] > most[1]) most = p;
  }
  flush();
  return out;
}

function nearest(points, x) {
  let lo = 0, hi = points.length - 1;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (points[mid][0] < x) lo = mid + 1;
    else hi = mid;
  }
  const before = points[lo - 1];
  return before && x - before[0] < points[lo][0] - x ? before : points[lo];
}

let charts = 0;

export class Chart {
  /* label: what it shows. xText(x), yText(y): values in words. from: the least that the axis goes
   * down to, or undefined. */
  constructor(label, {height = 280, xText = number, yText = number, from} = {}) {
    Object.assign(this, {label, height, xText, yText, from, series: [], zoom: null, at: null});
    this.clip = `clip-${++charts}`;
    this.svg = s("svg.plot", {tabindex: "0", role: "img", "aria-label": label,
      onpointerdown: e => this.press(e), onpointermove: e => this.hover(e),
      onpointerup: e => this.release(e), onpointerleave: () => this.leave(),
      ondblclick: () => this.setZoom(null), onkeydown: e => this.key(e)});
    this.tip = h("div.tip", {hidden: true, "aria-live": "polite"});
    this.legend = h("div.legend");
    this.reset = h("button.small", {hidden: true, onclick: () => this.setZoom(null)},
                   "Whole range");
    this.element = h("figure.chart", h("div.chart-top", this.legend, this.reset),
                     h("div.canvas", this.svg, this.tip));
    new ResizeObserver(() => this.draw()).observe(this.svg.parentNode);
  }

  /* series: [{name, points: [[x, y], ...] by x, colour: 0 to 7, dots, faint}] */
  setSeries(series) {
    this.series = series.map(one => ({...one, points: one.points.filter(
      p => Number.isFinite(p[0]) && Number.isFinite(p[1]))}));
    const names = series.map(one => `${one.colour} ${one.dots} ${one.name}`).join("\n");
    if (names !== this.names) {
      this.names = names;
      this.legend.replaceChildren(...series.filter(one => !one.faint).map(one => h("span.key",
        h(`i.swatch.c${one.colour}${one.dots ? ".dots" : ""}`), one.name)));
    }
    this.draw();
  }

  ranges() {
    const all = this.series.flatMap(one => one.points);
    if (!all.length) return null;
    const xs = all.map(p => p[0]);
    let [x0, x1] = this.zoom ?? [min(xs), max(xs)];
    if (x0 === x1) x1 = x0 + 1;
    const ys = all.filter(p => p[0] >= x0 && p[0] <= x1).map(p => p[1]);
    let y0 = this.from ?? min(ys), y1 = max(ys);
    if (!ys.length) [y0, y1] = [0, 1];
    if (y0 === y1) [y0, y1] = [y0 - Math.abs(y0) * 0.1 - 1e-9, y1 + Math.abs(y1) * 0.1 + 1e-9];
    const pad = (y1 - y0) * 0.05;
    return {x0, x1, y0: this.from === undefined ? y0 - pad : y0, y1: y1 + pad};
  }

  draw() {
    const width = this.svg.parentNode.clientWidth;
    if (!width) return;
    const r = this.r = this.ranges();
    this.width = width;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.svg.setAttribute("height", this.height);
    if (!r) {
      this.svg.replaceChildren(s("text.none", {x: width / 2, y: this.height / 2}, "Nothing yet"));
      return;
    }
    const {left, right, top, bottom} = MARGIN;
    const w = width - left - right, tall = this.height - top - bottom;
    this.X = x => left + (x - r.x0) / (r.x1 - r.x0) * w;
    this.Y = y => top + (r.y1 - y) / (r.y1 - r.y0) * tall;
    this.cursor = s("g.cursor");
    this.svg.replaceChildren(
      s("clipPath", {id: this.clip},
        s("rect", {x: left, y: 0, width: w + 4, height: tall + top + 4})),
      s("g.grid", this.grid(r, w)), s("g", {"clip-path": `url(#${this.clip})`},
        this.series.map(one => this.curve(one, r, w))), this.cursor);
    if (this.at !== null) this.show(this.at);
  }

  grid(r, w) {
    const right = MARGIN.left + w, low = this.height - MARGIN.bottom;
    return [
      steps(r.y0, r.y1, 5).map(y => [
        s("line", {x1: MARGIN.left, x2: right, y1: this.Y(y), y2: this.Y(y)}),
        s("text.y", {x: MARGIN.left - 8, y: this.Y(y) + 4}, this.yText(y))]),
      steps(r.x0, r.x1, Math.max(2, w / 110)).map(x =>
        s("text.x", {x: this.X(x), y: low + 20}, this.xText(x))),
    ];
  }

  curve(one, r, w) {
    const points = thin(one.points, r.x0, r.x1, w);
    const place = p => `${this.X(p[0]).toFixed(1)} ${this.Y(p[1]).toFixed(1)}`;
    const line = points.length ? `M${points.map(place).join("L")}` : "";
    const name = `c${one.colour}`;
    return [
      s(`path.line.${name}${one.faint ? ".faint" : ""}${one.dots ? ".dashed" : ""}`, {d: line}),
      (one.dots || one.points.length === 1) && points.map(p => s(`circle.dot.${name}`,
        {cx: this.X(p[0]), cy: this.Y(p[1]), r: 3})),
    ];
  }

  /* ---- Reading */

  show(x) {
    if (!this.r) return;
    this.at = x;
    const rows = this.series.filter(one => one.points.length && !one.faint)
      .map(one => ({one, p: nearest(one.points, x)}));
    if (!rows.length) return;
    const near = rows.reduce((a, b) => Math.abs(a.p[0] - x) <= Math.abs(b.p[0] - x) ? a : b).p[0];
    const px = this.X(near);
    this.cursor.replaceChildren(
      s("line", {x1: px, x2: px, y1: MARGIN.top, y2: this.height - MARGIN.bottom}),
      ...rows.map(({one, p}) => s(`circle.dot.c${one.colour}`,
        {cx: this.X(p[0]), cy: this.Y(p[1]), r: 3.5})));
    this.tip.replaceChildren(h("b", this.xText(near)), ...rows.map(({one, p}) =>
      h("div", h(`i.swatch.c${one.colour}`), `${one.name}: ${this.yText(p[1])}`)));
    setHidden(this.tip, false);
    this.tip.style.left = `${Math.min(Math.max(0, px + 12), this.width - this.tip.offsetWidth)}px`;
    if (px + 12 + this.tip.offsetWidth > this.width)
      this.tip.style.left = `${Math.max(0, px - 12 - this.tip.offsetWidth)}px`;
  }

  leave() {
    if (this.pressed === undefined) this.hide();
  }

  hide() {
    this.at = null;
    setHidden(this.tip, true);
    this.cursor?.replaceChildren();
  }

  xAt(event) {
    const box = this.svg.getBoundingClientRect(), r = this.r;
    const part = (event.clientX - box.left - MARGIN.left)
      / (box.width - MARGIN.left - MARGIN.right);
    return r.x0 + Math.min(1, Math.max(0, part)) * (r.x1 - r.x0);
  }

  hover(event) {
    if (!this.r) return;
    this.show(this.xAt(event));
    if (this.pressed === undefined) return;
    const [a, b] = [this.pressed, this.xAt(event)].sort((p, q) => p - q);
    this.cursor.append(s("rect.span", {x: this.X(a), y: MARGIN.top, width: this.X(b) - this.X(a),
      height: this.height - MARGIN.top - MARGIN.bottom}));
  }

  /* ---- Zooming */

  press(event) {
    if (!this.r || event.button !== 0 || event.pointerType === "touch") return;
    this.pressed = this.xAt(event);
    this.svg.setPointerCapture(event.pointerId);
  }

  release(event) {
    if (this.pressed === undefined) return;
    const [a, b] = [this.pressed, this.xAt(event)].sort((p, q) => p - q);
    this.pressed = undefined;
    if ((b - a) / (this.r.x1 - this.r.x0) > 0.01) this.setZoom([a, b]);
  }

  setZoom(zoom) {
    this.zoom = zoom;
    setHidden(this.reset, !zoom);
    this.hide();
    this.draw();
  }

  key(event) {
    if (!this.r) return;
    const {x0, x1} = this.r, middle = this.at ?? (x0 + x1) / 2, wide = x1 - x0;
    const to = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (to) this.show(Math.min(x1, Math.max(x0, middle + to * wide / 50)));
    else if (event.key === "+") this.setZoom([middle - wide / 4, middle + wide / 4]);
    else if (event.key === "-") this.setZoom(this.zoom ? [middle - wide, middle + wide] : null);
    else if (event.key === "0" || event.key === "Escape") this.setZoom(null);
    else return;
    event.preventDefault();
    if (!to) this.show(middle);
  }
}

function min(list) {
  return list.reduce((a, b) => a < b ? a : b, Infinity);
}

function max(list) {
  return list.reduce((a, b) => a > b ? a : b, -Infinity);
}

/* Of a smoothing: the mean in which each point weighs so much. */
export function smooth(points, weight) {
  let mean, sum = 0;
  return points.map(([x, y]) => {
    sum = sum * (1 - weight) + weight;
    mean = mean === undefined ? y : mean + (y - mean) * weight / sum;
    return [x, mean];
  });
}

/* The curve of a loss.svg, as a small picture; null: it has none. Its text is searched, since a
 * parser would apply the style that is in it. */
export function sparkline(svgText) {
  const curve = name => new RegExp(`<path class="${name}" d="([^"]*L[^"]*)"`).exec(svgText)?.[1];
  const d = curve("smooth") ?? curve("eval") ?? "";
  const points = [...d.matchAll(/[ML](-?[\d.]+) (-?[\d.]+)/g)].map(m => [+m[1], +m[2]]);
  if (points.length < 2) return null;
  const xs = points.map(p => p[0]), ys = points.map(p => p[1]);
  const [x0, x1, y0, y1] = [min(xs), max(xs), min(ys), max(ys)];
  const line = points.map(([x, y]) => `${(1 + 78 * (x - x0) / (x1 - x0 || 1)).toFixed(1)} `
    + `${(2 + 20 * (y - y0) / (y1 - y0 || 1)).toFixed(1)}`).join("L");
  return s("svg.spark", {viewBox: "0 0 80 24", "aria-hidden": "true"}, s("path", {d: `M${line}`}));
}
