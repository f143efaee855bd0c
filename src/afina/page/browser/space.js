// What the values do to the score: importance, parallel coordinates, slices, and pairs.
import { among, ask, changed, finished, frame, hps, objective, peers, robust, S, sample, scoreOf, valueOf } from "./state.js";
import { card, choice, colour, el, plural, short, show } from "./dom.js";
import { axisOf, brief, dot, isPrinting, Picture, Plot, ramp } from "./plots.js";
import { lineOf } from "./overview.js";
import { changeRanges, inWords } from "./ranges.js";
import { showTrial } from "./trial.js";

const MOST_LINES = 1200, MOST_POINTS = 2000;
export const lessons = { key: "", found: null, busy: false, at: 0, waiting: new Set() };

// Advice takes the server some time: ask again once trials have ended, and not more than needed.
export async function learn(then) {
  const key = `${S.generation} ${finished().length}`;
  if (lessons.busy) { lessons.waiting.add(then); return; }
  if (key === lessons.key || (lessons.key.startsWith(`${S.generation} `) && Date.now() - lessons.at < 5000)) return;
  lessons.busy = true;
  try {
    const found = await ask("advice");
    lessons.failed = null;
    if (found.after >= 0) lessons.found = found;
    if (found.pending) setTimeout(() => learn(then), 1200);
    else { lessons.key = key; lessons.at = Date.now(); }
  } catch (error) { lessons.key = key; lessons.at = Date.now(); lessons.failed = error.message; }
  lessons.busy = false;
  for (const each of new Set([then, ...lessons.waiting])) each();
  lessons.waiting.clear();
}

export function space(section) {
  const allowed = document.body.dataset.actions === "yes", where = el("p", { class: "notice", hidden: true });
  const change = allowed ? el("button", { class: "quiet", type: "button", on: { click: changeRanges } }, "Change the ranges") : null;
  section.append(where);
  const drawWhere = () => { const said = inWords(); where.hidden = !said.length; where.textContent = `New trials are drawn from a part of the space: ${said.join("; ")}.`; };
  const shares = card("Importance", "third"), parallel = card("Parallel coordinates"), pair = card("Two hyperparameters", "wide"), slices = card("Slices");
  if (change) slices.head.lastChild.append(change);
  section.append(shares.node, pair.node, parallel.node, slices.node);
  const drawParallel = coordinates(parallel), drawSlices = sliced(slices), drawPair = paired(pair);
  return () => {
    drawWhere();
    importance(shares); learn(() => { importance(shares); drawSlices(); drawPair(); });
    drawParallel(); drawSlices(); drawPair();
  };
}

const SHORTAGE = { "few-trials": "too few trials have finished", "all-failed": "all trials have failed", constant: "all scores are equal", "nothing-varies": "nothing varies", "several-objectives": "see each objective" };

function importance(box) {
  const { found } = lessons, aim = found?.aims?.[S.search?.several ? S.aim : 0];
  if (!aim) { box.body.replaceChildren(el("p", { class: "empty" }, lessons.failed ?? "Computing …")); return; }
  if (aim.shortage) {
    box.hint("");
    box.body.replaceChildren(el("p", { class: "empty" }, `Not known yet: ${SHORTAGE[aim.shortage] ?? aim.shortage}${aim.shortage === "few-trials" ? ` (${aim.configurations} of at least ${aim.needed})` : ""}.`));
    return;
  }
  box.hint(`share of the variance of ${aim.objective}`);
  const most = Math.max(0.05, ...aim.shares.map((each) => each.high));
  const percent = (value) => `${Math.round(100 * value)} %`;
  box.body.replaceChildren(el("div", { class: "shares" }, ...aim.shares.slice(0, 24).flatMap((each) => [
    el("span", { class: "who", title: each.when.join(" and ") }, show(each.name)),
    el("span", { class: `whisker ${each.clear ? "" : "unclear"}`, role: "img", "aria-label": `${percent(each.share)}, between ${percent(each.low)} and ${percent(each.high)}` }, el("b", { style: { width: `${(100 * each.share) / most}%` } }), el("i", { style: { left: `${(100 * each.low) / most}%`, width: `${(100 * (each.high - each.low)) / most}%` } })),
    el("span", { class: "much" }, percent(each.share)),
  ])), el("p", { class: "hint" }, `After ${plural(found.after, "trial")}. The thin line is a 90 % interval; grey is not clearly above chance.`),
  aim.pairs.some((each) => each.clear) ? el("p", { class: "hint" }, `Together: ${aim.pairs.filter((each) => each.clear).map((each) => `${each.names.map(show).join(" × ")} ${percent(each.share)}`).join(", ")}.`) : "");
}

// -- parallel coordinates --------------------------------------------------------------------

function coordinates(box) {
  const scroll = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Parallel coordinates" }), inner = el("div"), brushes = new Map();
  scroll.append(inner); box.body.append(scroll);
  const clear = el("button", { class: "quiet", type: "button", hidden: true, on: { click: () => { brushes.clear(); apply(); } } }, "Clear");
  const table = el("button", { class: "quiet", type: "button", hidden: true, on: { click: () => frame.go("trials") } }, "Show in the table");
  box.head.lastChild.append(table, clear);
  const picture = new Picture(inner), TOP = 46, HEIGHT = 380;
  let axes = [], drag = null, spots = [];

  const passes = (row) => [...brushes].every(([name, [low, high]]) => { const axis = axes.find((each) => each.name === name), unit = axis && axis.unit(axis.read(row)); return unit !== null && unit !== undefined && unit >= low && unit <= high; });
  function apply() {
    for (const [name, [low, high]] of brushes) if (high - low < 0.015) brushes.delete(name);
    S.brushed = brushes.size ? new Set(peers().filter(passes).map((row) => row[0])) : null;
    clear.hidden = table.hidden = !brushes.size;
    draw(); changed();
  }
  const unitAt = (event) => { const y = event.clientY - picture.canvas.getBoundingClientRect().top; return Math.min(1, Math.max(0, 1 - (y - TOP) / (HEIGHT - TOP - 26))); };
  picture.canvas.addEventListener("pointerdown", (event) => {
    const x = event.clientX - picture.canvas.getBoundingClientRect().left, near = spots.findIndex((spot) => Math.abs(spot - x) < 16);
    if (near < 0) return;
    const start = unitAt(event);
    drag = { name: axes[near].name, start };
    brushes.set(drag.name, [start, start]);
    picture.canvas.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  picture.canvas.addEventListener("pointermove", (event) => {
    const x = event.clientX - picture.canvas.getBoundingClientRect().left;
    if (!drag) { picture.canvas.style.cursor = spots.some((spot) => Math.abs(spot - x) < 16) ? "ns-resize" : ""; return; }
    const now = unitAt(event);
    brushes.set(drag.name, [Math.min(drag.start, now), Math.max(drag.start, now)]);
    draw();
  });
  for (const end of ["pointerup", "pointercancel"]) picture.canvas.addEventListener(end, () => { if (drag) { drag = null; apply(); } });

  function draw() {
    const score = objective(), values = peers().map(scoreOf);
    let [low, high] = robust(values, score.direction);
    axes = hps().map((entry, place) => ({ entry, place })).filter(({ entry }) => entry.varies).map(({ entry, place }) => ({ name: entry.name, entry, ...axisOf(entry), read: (row) => valueOf(row, place) }));
    axes.push({ name: `\u0000${score.name}`, title: score.name, read: scoreOf, unit: (value) => (value === null ? null : Math.min(1, Math.max(0, (value - low) / (high - low)))), ends: [brief(low), brief(high)] });
    const list = sample(peers(), MOST_LINES), chosen = brushes.size ? list.filter(passes) : list;
    box.hint(brushes.size ? `${S.brushed?.size ?? chosen.length} of ${plural(values.length, "trial")} chosen` : values.length > MOST_LINES ? `${MOST_LINES} of ${plural(values.length, "trial")}${among()}; drag along an axis to choose` : `${plural(values.length, "trial")}${among()}; drag along an axis to choose`);
    inner.style.setProperty("min-width", `${axes.length * 82 + 60}px`);
    picture.show({
      height: HEIGHT, label: `Parallel coordinates of ${plural(values.length, "trial")}. The table's filter does the same by keyboard.`,
      draw(ctx, width) {
        const left = 54, right = width - 54, bottom = HEIGHT - 26, Y = (unit) => bottom - unit * (bottom - TOP);
        spots = axes.map((_, place) => (axes.length > 1 ? left + ((right - left) * place) / (axes.length - 1) : width / 2));
        ctx.lineWidth = 1.1;
        const total = list.length || 1;
        const line = (row, stroke) => {
          ctx.strokeStyle = stroke; ctx.beginPath();
          let open = false;
          axes.forEach((axis, place) => {
            const unit = axis.unit(axis.read(row));
            if (unit === null || unit === undefined || Number.isNaN(unit)) { open = false; return; }
            if (open) ctx.lineTo(spots[place], Y(unit)); else ctx.moveTo(spots[place], Y(unit));
            open = true;
          });
          ctx.stroke();
        };
        const dim = colour("grid"), alpha = total > 400 ? 0.45 : 0.75, keep = new Set(chosen);
        if (brushes.size) for (const row of list) if (!keep.has(row)) line(row, dim);
        list.map((row, place) => [row, place]).reverse().forEach(([row, place]) => { if (keep.has(row)) line(row, ramp(0.92 - 0.9 * (place / total), place < 5 ? 1 : alpha)); });
        const top = peers()[0];
        if (top && keep.has(top)) { ctx.lineWidth = 2.6; line(top, colour("amber")); }
        axes.forEach((axis, place) => {
          const x = spots[place], title = show(axis.title ?? axis.name), gap = (right - left) / Math.max(axes.length - 1, 1) - 8;
          ctx.strokeStyle = colour("soft"); ctx.lineWidth = 1; ctx.beginPath(); ctx.moveTo(x, TOP); ctx.lineTo(x, bottom); ctx.stroke();
          ctx.fillStyle = colour("ink"); ctx.textAlign = "center"; ctx.font = "600 12px system-ui, sans-serif";
          ctx.fillText(fitted(ctx, title, place === 0 || place === axes.length - 1 ? Math.min(gap, 2 * left - 8) : gap), x, 16);
          ctx.fillStyle = colour("soft"); ctx.font = "11px system-ui, sans-serif";
          if (axis.names) {
            const every = Math.ceil(axis.names.length / 12);
            axis.names.forEach((name, at) => { if (at % every === 0) label(ctx, short(show(name), 10), x + 5, Y((at + 0.5) / axis.names.length) + 4); });
          } else {
            const [a, b] = axis.ends ?? [brief(axis.entry.low), brief(axis.entry.high)];
            ctx.textAlign = "center"; ctx.fillText(b, x, TOP - 7); ctx.fillText(a, x, bottom + 16);
          }
          const brush = brushes.get(axis.name);
          if (brush) { ctx.fillStyle = colour("blue"); ctx.globalAlpha = 0.3; ctx.fillRect(x - 7, Y(brush[1]), 14, Math.max(2, Y(brush[0]) - Y(brush[1]))); ctx.globalAlpha = 1; }
        });
      },
    });
    inner.dataset.axes = axes.length; inner.dataset.lines = chosen.length;
  }
  return draw;
}

// As much of a text as a width has room for.
function fitted(ctx, text, width) {
  const whole = ctx.measureText(text).width;
  return whole <= width ? text : short(text, Math.max(3, Math.floor((text.length * width) / whole)));
}

function label(ctx, text, x, y) {
  ctx.textAlign = "left"; ctx.lineWidth = 3; ctx.strokeStyle = colour("card"); ctx.strokeText(text, x, y); ctx.fillText(text, x, y);
}

// -- slices ----------------------------------------------------------------------------------

function sliced(box) {
  const grid = el("div", { class: "slices" }), plots = new Map(), seen = new Set();
  box.body.append(grid);
  box.head.lastChild.append(el("span", { class: "key" }, el("span", { class: "k-blue" }, "trial"), el("span", { class: "k-amber" }, "best"), el("span", { class: "k-green" }, "advised range")));
  const watch = new IntersectionObserver((entries) => { for (const each of entries) { if (each.isIntersecting) { seen.add(each.target); draw(each.target); } else seen.delete(each.target); } }, { rootMargin: "200px" });
  function draw(host) {
    const place = Number(host.dataset.place), entry = hps()[place];
    if (!entry) return;
    const axis = axisOf(entry), top = peers()[0], list = sample(peers(), MOST_POINTS);
    const points = list.map((row) => [axis.raw(valueOf(row, place)), scoreOf(row), row[0]]).filter((each) => each[0] !== null);
    const [low, high] = robust(peers().map(scoreOf), objective().direction);
    const advice = S.search.several ? null : lessons.found?.ranges?.find((each) => each.name === entry.name && each.changes);
    const mark = points.find((each) => each[2] === top?.[0]);
    plots.get(host).show({
      x: axis.spec, y: { min: low, max: high }, points, tip: lineOf, pick: showTrial, label: `${entry.name} against ${objective().name}, ${plural(points.length, "trial")}`,
      draw(ctx, X, Y, { ratio, top: up, height }) {
        if (advice) {
          ctx.fillStyle = colour("green"); ctx.globalAlpha = 0.16;
          const to = advice.after;
          // The band of a number with steps ends between two steps, as the last one is within.
          const half = entry.step && !entry.log ? entry.step / 2 : 0;
          if (to.low !== undefined) ctx.fillRect(X(to.low - half) - 2 * ratio, up, X(to.high + half) - X(to.low - half) + 4 * ratio, height);
          else for (const value of to.choices ?? []) { const at = axis.raw(value); if (at !== null) ctx.fillRect(X(at - 0.42), up, X(at + 0.42) - X(at - 0.42), height); }
        }
        ctx.fillStyle = colour("blue"); ctx.globalAlpha = points.length > 400 ? 0.32 : 0.55;
        for (const [x, y] of points) dot(ctx, X(x), Y(y), (points.length > 800 ? 1.8 : 2.8) * ratio);
        ctx.globalAlpha = 1;
        if (mark) { ctx.fillStyle = colour("amber"); ctx.strokeStyle = colour("ink"); ctx.lineWidth = ratio; dot(ctx, X(mark[0]), Y(mark[1]), 5 * ratio); ctx.stroke(); }
      },
    });
  }
  let names = "";
  return () => {
    const list = hps().map((entry, place) => [entry, place]).filter(([entry]) => entry.varies), now = JSON.stringify(list.map(([entry]) => entry));
    box.hint(`${objective().name}${among()} against each hyperparameter${peers().length > MOST_POINTS ? `; ${MOST_POINTS} of ${peers().length} trials` : ""}`);
    if (now !== names) {
      names = now; watch.disconnect(); plots.clear(); seen.clear();
      grid.replaceChildren(...list.map(([entry, place]) => {
        const host = el("div", { data: { place } });
        plots.set(host, new Plot(host, 210)); watch.observe(host);
        return el("div", {}, el("h3", {}, show(entry.name), entry.when ? el("span", { class: "hint" }, ` while ${show(entry.when)}`) : ""), host);
      }));
    }
    for (const host of isPrinting() ? plots.keys() : seen) draw(host);
  };
}

// -- two hyperparameters ---------------------------------------------------------------------

function paired(box) {
  const host = el("div"), tools = box.head.lastChild;
  box.body.append(host);
  const plot = new Plot(host, 380);
  let a = null, b = null, made = "", touched = false;
  function draw() {
    const list = hps().filter((entry) => entry.varies);
    box.node.hidden = list.length < 2;
    if (list.length < 2) return;
    const now = JSON.stringify([list.map((entry) => entry.name), !touched && Boolean(lessons.found)]);
    if (now !== made && !(touched && list.some((entry) => entry.name === a) && list.some((entry) => entry.name === b))) {
      made = now;
      const shares = lessons.found?.aims?.[0]?.shares?.map((each) => each.name) ?? [];
      const first = list.find((entry) => entry.name === shares[0]) ?? list[0], second = list.find((entry) => entry.name === shares[1] && entry !== first) ?? list.find((entry) => entry !== first);
      [a, b] = [first.name, second.name];
      const options = list.map((entry) => [entry.name, show(entry.name)]);
      tools.replaceChildren(choice("Horizontal", options, a, (value) => { a = value; touched = true; draw(); }), choice("Vertical", options, b, (value) => { b = value; touched = true; draw(); }));
    }
    const [ea, eb] = [hps().find((entry) => entry.name === a), hps().find((entry) => entry.name === b)];
    if (!ea || !eb) return;
    const [pa, pb] = [hps().indexOf(ea), hps().indexOf(eb)], xa = axisOf(ea), xb = axisOf(eb);
    const data = sample(peers(), 600).map((row) => ({ x: xa.raw(valueOf(row, pa)), y: xb.raw(valueOf(row, pb)), u: xa.unit(valueOf(row, pa)), v: xb.unit(valueOf(row, pb)), s: scoreOf(row), n: row[0] })).filter((each) => each.x !== null && each.y !== null);
    const [low, high] = robust(data.map((each) => each.s), objective().direction), good = (s) => { const share = Math.min(1, Math.max(0, (s - low) / (high - low || 1))); return objective().direction === "max" ? share : 1 - share; };
    box.hint(`${objective().name}${among()}, smoothed over ${plural(data.length, "trial")}; yellow is good, faint is far from any trial`);
    plot.show({
      x: { ...xa.spec, label: show(a) }, y: { ...xb.spec, label: show(b) }, points: data.map((each) => [each.x, each.y, each.n]), tip: lineOf, pick: showTrial,
      label: `${objective().name} over ${a} and ${b}`,
      draw(ctx, X, Y, { left, top, width, height, ratio, u }) {
        const cells = 44, cw = width / cells, ch = height / cells, wide = Math.max(0.05, 0.32 / Math.sqrt(Math.max(data.length, 1)) ** 0.6);
        const us = [...Array(cells)].map((_, i) => xa.unit(xa.names ? xa.names[Math.min(xa.names.length - 1, Math.max(0, Math.round(u.posToVal(left + (i + 0.5) * cw, "x", true))))] : u.posToVal(left + (i + 0.5) * cw, "x", true)));
        const vs = [...Array(cells)].map((_, j) => xb.unit(xb.names ? xb.names[Math.min(xb.names.length - 1, Math.max(0, Math.round(u.posToVal(top + (j + 0.5) * ch, "y", true))))] : u.posToVal(top + (j + 0.5) * ch, "y", true)));
        const sheet = el("canvas", { width: cells, height: cells }), paint = sheet.getContext("2d");
        for (let i = 0; i < cells; i++) for (let j = 0; j < cells; j++) {
          let weight = 0, sum = 0;
          for (const each of data) { const d = ((each.u - us[i]) ** 2 + (each.v - vs[j]) ** 2) / (2 * wide * wide); if (d < 9) { const w = Math.exp(-d); weight += w; sum += w * good(each.s); } }
          if (weight < 0.02) continue;
          paint.fillStyle = ramp(sum / weight, Math.min(0.85, 0.25 + weight * 0.4));
          paint.fillRect(i, j, 1, 1);
        }
        ctx.imageSmoothingEnabled = !(xa.names || xb.names);
        ctx.drawImage(sheet, left, top, width, height);
        ctx.lineWidth = ratio; ctx.strokeStyle = colour("card");
        for (const each of data) { ctx.fillStyle = colour("ink"); ctx.globalAlpha = 0.75; dot(ctx, X(each.x), Y(each.y), 2.4 * ratio); }
        ctx.globalAlpha = 1;
        const mark = data.find((each) => each.n === peers()[0]?.[0]);
        if (mark) { ctx.fillStyle = colour("amber"); ctx.strokeStyle = colour("ink"); dot(ctx, X(mark.x), Y(mark.y), 5.5 * ratio); ctx.stroke(); }
      },
    });
  }
  return draw;
}
