// uPlot brings axes, scales, zoom and the cursor; what a figure shows is painted here.
import { colour, el, plain, short, tip } from "./dom.js";

const all = new Set();
export function repaint() { for (const each of all) each.redraw(); }

// Paper shows all views below one another, in light colours, at the width of a sheet.
let printing = false;
export const isPrinting = () => printing;
export function setPrinting(on) { printing = on; }
export function refit() { for (const each of all) if (each.fit) each.fit(); else each.redraw(); }

export class Plot {
  constructor(host, height = 300) {
    this.host = host; this.height = height; this.u = null; this.shape = ""; this.zoomed = false;
    host.classList.add("plot");
    all.add(this);
    new ResizeObserver(() => this.fit()).observe(host);
  }

  // spec: {x, y: {label, log, min, max, names, whole}, draw(ctx, X, Y, u), points: [[x, y, n]...], tip(n), pick(n), label}
  show(spec) {
    this.spec = spec;
    const shape = JSON.stringify([spec.x.log, spec.y.log, spec.x.names, spec.y.names, spec.x.label, spec.y.label, spec.x.whole, spec.y.whole, spec.x.ticks, spec.y.ticks]);
    if (!this.host.clientWidth) { this.late = true; return; }
    if (!this.u || shape !== this.shape) { this.shape = shape; this.make(); }
    else this.u.setData(this.data(), !this.zoomed);
    if (this.zoomed) this.u.redraw();
    this.host.setAttribute("role", "img");
    this.host.setAttribute("aria-label", spec.label ?? "");
    this.host.classList.toggle("tappable", Boolean(spec.pick));
  }

  data() { return [[this.spec.x.min, this.spec.x.max], [this.spec.y.min, this.spec.y.max]]; }

  make() {
    this.u?.destroy();
    const { x, y } = this.spec;
    this.u = new uPlot({
      width: this.host.clientWidth, height: this.height, padding: [10, 20, 0, 2],
      legend: { show: false }, series: [{}, { show: true, paths: () => null, points: { show: false } }],
      cursor: { points: { show: false }, drag: { x: true, y: true, uni: 24 }, y: false },
      scales: {
        x: { time: false, distr: x.log ? 3 : 1, range: () => [this.spec.x.min, this.spec.x.max] },
        y: { distr: y.log ? 3 : 1, range: () => [this.spec.y.min, this.spec.y.max] },
      },
      axes: [this.axis("x"), this.axis("y")],
      hooks: {
        draw: [(u) => this.paint(u)],
        setSelect: [(u) => { if (u.select.width > 4) this.zoomed = true; }],
      },
    }, this.data(), this.host);
    const over = this.u.over;
    over.addEventListener("dblclick", () => { this.zoomed = false; this.u.setData(this.data()); });
    over.addEventListener("mousemove", (event) => this.hover(event));
    over.addEventListener("mouseleave", () => tip(null, ""));
    over.addEventListener("click", (event) => {
      const near = this.near(event);
      if (near !== null && this.spec.pick) { tip(null, ""); this.spec.pick(near); }
    });
  }

  axis(which) {
    const spec = this.spec[which], names = spec.names;
    const axis = {
      stroke: () => colour("soft"), font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif",
      grid: { stroke: () => colour("grid"), width: 1 }, ticks: { show: false },
      label: short(plain(spec.label), 42), labelSize: spec.label ? 20 : 0, gap: 4,
      ...(which === "y" ? { size: (u, values) => 12 + Math.max(20, ...(values ?? []).map((text) => 6.6 * String(text ?? "").length)) } : { size: 26 }),
    };
    if (names) {
      axis.splits = () => names.map((_, place) => place);
      axis.values = (u, splits) => splits.map((place) => short(plain(names[place]), 14));
    } else if (spec.log) {
      axis.values = (u, splits) => splits.map((value) => (value === null ? "" : Math.abs(Math.log10(value) % 1) < 1e-9 || splits.filter((each) => each !== null).length < 4 ? brief(value) : ""));
    } else {
      if (spec.ticks) axis.splits = () => spec.ticks;
      axis.values = (u, splits) => splits.map((value) => (spec.whole && !Number.isInteger(value) ? "" : brief(value)));
      if (spec.whole) axis.incrs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7, 1e8, 1e9];
    }
    return axis;
  }

  paint(u) {
    const { ctx } = u, { left, top, width, height } = u.bbox;
    ctx.save();
    ctx.beginPath(); ctx.rect(left - 4, top - 4, width + 8, height + 8); ctx.clip();
    const ratio = devicePixelRatio || 1, { x, y } = this.spec;
    const X = (value) => u.valToPos(value, "x", true), Y = (value) => u.valToPos(Math.min(Math.max(value, u.scales.y.min), u.scales.y.max), "y", true);
    this.spec.draw(ctx, X, Y, { ratio, left, top, width, height, u, x, y });
    ctx.restore();
  }

  near(event) {
    const points = this.spec.points;
    if (!points?.length || !this.u) return null;
    const box = this.u.over.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    let found = null, least = 18 * 18;
    const { min, max } = this.u.scales.y;
    for (const [x, y, n] of points) {
      const dx = this.u.valToPos(x, "x") - px;
      if (dx > 18 || dx < -18) continue;
      const dy = this.u.valToPos(Math.min(Math.max(y, min), max), "y") - py, far = dx * dx + dy * dy;
      if (far < least) { least = far; found = n; }
    }
    return found;
  }

  hover(event) {
    const near = this.near(event);
    tip(event, near === null ? "" : this.spec.tip?.(near) ?? "");
  }

  fit() {
    const width = this.host.clientWidth;
    if (!width) return;
    if (this.late && this.spec) { this.late = false; this.show(this.spec); }
    else if (this.u && Math.abs(this.u.width - width) > 1) this.u.setSize({ width, height: this.height });
  }

  redraw() { if (this.u && this.host.isConnected) this.u.redraw(false, true); }
}

export function brief(value) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(1).replace(".0e", "e").replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

// A small dot is a square to the eye, and ten times as fast to paint.
export function dot(ctx, x, y, size) {
  if (size < 2.2 * (devicePixelRatio || 1)) { ctx.fillRect(x - size, y - size, 2 * size, 2 * size); return; }
  ctx.beginPath(); ctx.arc(x, y, size, 0, 6.2832); ctx.fill();
}

export function path(ctx, xs, ys, X, Y, step = false) {
  ctx.beginPath();
  let open = false, last = 0;
  for (let place = 0; place < xs.length; place++) {
    if (ys[place] === null || ys[place] === undefined) continue;
    const px = X(xs[place]), py = Y(ys[place]);
    if (!open) ctx.moveTo(px, py);
    else { if (step) ctx.lineTo(px, last); ctx.lineTo(px, py); }
    open = true; last = py;
  }
  ctx.stroke();
}

// A canvas of one's own, for what has no axes that uPlot knows.
export class Picture {
  constructor(host) {
    this.host = host; this.canvas = el("canvas"); this.marks = []; this.height = 100;
    host.classList.add("plot"); host.append(this.canvas);
    all.add(this);
    new ResizeObserver(() => this.redraw()).observe(host);
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return this.find(event.clientX - box.left, event.clientY - box.top);
    };
    this.canvas.addEventListener("mousemove", (event) => {
      const mark = at(event);
      this.canvas.style.cursor = mark && this.pick ? "pointer" : "";
      tip(event, mark ? this.tip(mark.n) : "");
    });
    this.canvas.addEventListener("mouseleave", () => tip(null, ""));
    this.canvas.addEventListener("click", (event) => { const mark = at(event); if (mark && this.pick) { tip(null, ""); this.pick(mark.n); } });
  }

  find(x, y) {
    let found = null, least = 1e9;
    for (const mark of this.marks) {
      if (mark.w !== undefined) { if (x >= mark.x && x <= mark.x + mark.w && y >= mark.y && y <= mark.y + mark.h) return mark; continue; }
      const far = (mark.x - x) ** 2 + (mark.y - y) ** 2;
      if (far < least && far < (mark.r + 5) ** 2) { least = far; found = mark; }
    }
    return found;
  }

  show({ height, draw, label, tip: text, pick }) {
    Object.assign(this, { height, draw, tip: text ?? (() => ""), pick });
    this.host.setAttribute("role", "img"); this.host.setAttribute("aria-label", label ?? "");
    this.redraw();
  }

  redraw() {
    const width = this.host.clientWidth;
    if (!this.draw || !width) return;
    const ratio = devicePixelRatio || 1, canvas = this.canvas;
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(this.height * ratio);
    canvas.style.width = `${width}px`; canvas.style.height = `${this.height}px`;
    const ctx = canvas.getContext("2d");
    ctx.scale(ratio, ratio);
    ctx.font = "12px system-ui, sans-serif";
    this.marks = [];
    this.draw(ctx, width, this.height, this.marks);
  }
}

// From dark blue over green to yellow, even in lightness (after viridis).
const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
export function ramp(share, alpha = 1) {
  const place = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1), low = Math.min(Math.floor(place), STOPS.length - 2), part = place - low;
  const mixed = STOPS[low].map((value, k) => Math.round(value + (STOPS[low + 1][k] - value) * part));
  return `rgba(${mixed.join(",")},${alpha})`;
}

// A hyperparameter as an axis: a number from 0 to 1 for each of its values, and what its ends are.
export function axisOf(entry) {
  if (entry.choices) {
    const names = entry.choices.map((value) => (value === true ? "True" : value === false ? "False" : String(value)));
    const places = new Map(names.map((name, place) => [name, place]));
    const unit = (value) => {
      const place = places.get(value === true ? "True" : value === false ? "False" : String(value));
      return place === undefined ? null : (place + 0.5) / names.length;
    };
    return { names, unit, raw: (value) => { const u = unit(value); return u === null ? null : u * names.length - 0.5; }, spec: { names, min: -0.5, max: names.length - 0.5 } };
  }
  const { log } = entry, low = entry.low, high = entry.high > low ? entry.high : low + (Math.abs(low) || 1);
  const to = log ? Math.log : (value) => value, a = to(low), b = to(high);
  const unit = (value) => (typeof value === "number" ? (to(value) - a) / (b - a) : null);
  const pad = (b - a) * 0.04, from = log ? Math.exp : (value) => value;
  const steps = entry.step ? Math.round((high - low) / entry.step) : 99;
  const ticks = !log && steps <= 8 ? [...Array(steps + 1)].map((_, k) => low + k * entry.step) : undefined;
  return { unit, raw: (value) => (typeof value === "number" ? value : null), spec: { log, ticks, min: from(a - pad), max: from(b + pad), whole: entry.whole && !log }, back: (share) => from(a + share * (b - a)) };
}
