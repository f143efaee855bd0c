// Where the time went: who trained what when, and how good the results are as a whole.
import { among, get, objective, peers, robust, rows, S, scoreOf, statusOf } from "./state.js";
import { card, colour, el, plural, span } from "./dom.js";
import { dot, path, Picture, Plot } from "./plots.js";
import { lineOf } from "./overview.js";
import { showTrial } from "./trial.js";
import { spent } from "./setup.js";

const SHADE = { completed: "blue", failed: "red", running: "amber", waiting: "grey", lost: "grey" };

export function time(section) {
  const line = card("Timeline"), edf = card("Distribution of results (EDF)", "half"), cost = card("Time and result", "half");
  line.head.lastChild.append(el("span", { class: "key" }, el("span", { class: "k-blue" }, "completed"), el("span", { class: "k-amber" }, "running"), el("span", { class: "k-red" }, "failed")));
  section.append(line.node, edf.node, cost.node);
  const picture = new Picture(line.body), share = new Plot(edf.body, 300), paid = new Plot(cost.body, 300);
  const drawSpent = spent(section);
  return () => { drawSpent(); drawLine(line, picture); drawShare(edf, share); drawCost(cost, paid); };
}

// Stores keep how long trials ran and in which order they ended, so their starts can be told.
export function schedule() {
  const ends = [], found = [];
  let before = 0;
  for (const row of rows()) {
    const known = get(row, "known"), start = Math.max(before, known ? ends[known - 1] ?? before : 0);
    before = start;
    const seconds = get(row, "seconds"), end = start + seconds, order = get(row, "ended");
    if (order !== null) ends[order] = end;
    found.push({ row, start, end, open: order === null });
  }
  const last = Math.max(0, ...found.map((each) => each.end), ...found.filter((each) => each.open).map((each) => each.start));
  const lanes = [];
  for (const each of found) {
    if (each.open) each.end = Math.max(last * 1.02, each.start);
    let lane = lanes.findIndex((free) => free <= each.start + 1e-6);
    if (lane < 0) { lane = lanes.length; lanes.push(0); }
    lanes[lane] = each.end; each.lane = lane;
  }
  return { found, last: last * 1.02 || 1, lanes: lanes.length };
}

function drawLine(box, picture) {
  const { found, last, lanes } = schedule(), high = Math.max(6, Math.min(22, 320 / Math.max(lanes, 1)));
  box.hint(`${plural(rows().length, "trial")} on ${plural(lanes, "line")}; starts are reconstructed from durations and the order of ends, without pauses`);
  picture.show({
    height: 34 + lanes * (high + 3), tip: (n) => `${lineOf(n)}\n${span(get(S.rows.get(n), "seconds"))}`, pick: showTrial, label: `Timeline of ${plural(found.length, "trial")}`,
    draw(ctx, width, height, marks) {
      const X = (at) => 8 + (at / last) * (width - 16);
      ctx.fillStyle = colour("soft"); ctx.strokeStyle = colour("grid"); ctx.textAlign = "center";
      const ticks = Math.max(2, Math.floor(width / 150));
      for (let k = 0; k <= ticks; k++) { const x = X((last * k) / ticks); ctx.beginPath(); ctx.moveTo(x, 0); ctx.lineTo(x, height - 22); ctx.stroke(); ctx.textAlign = k === 0 ? "left" : k === ticks ? "right" : "center"; ctx.fillText(span((last * k) / ticks), x, height - 6); }
      for (const { row, start, end, lane } of found) {
        const x = X(start), w = Math.max(1, X(end) - x - (X(end) - x > 4 ? 1 : 0)), y = 4 + lane * (high + 3);
        ctx.fillStyle = colour(SHADE[statusOf(row)] ?? "grey"); ctx.globalAlpha = statusOf(row) === "completed" ? 0.75 : 0.95;
        ctx.fillRect(x, y, w, high); ctx.globalAlpha = 1;
        if (w > 30 && high > 13) { ctx.fillStyle = colour("card"); ctx.textAlign = "left"; ctx.fillText(String(row[0]), x + 4, y + high / 2 + 4); }
        if (w > 0.5) marks.push({ x, y, w, h: high, n: row[0] });
      }
    },
  });
}

function drawShare(box, plot) {
  const values = peers().map(scoreOf).sort((a, b) => a - b), [low, high] = robust(values, objective().direction);
  box.hint(`share of trials with at most this ${objective().name}${among()}`);
  plot.show({
    x: { label: objective().name, min: low, max: high }, y: { min: 0, max: 1.02 }, label: `Distribution of ${plural(values.length, "score")}`,
    draw(ctx, X, Y, { ratio }) {
      if (!values.length) return;
      ctx.strokeStyle = colour("blue"); ctx.lineWidth = 2 * ratio;
      const xs = [low, ...values, high], ys = [0, ...values.map((_, place) => (place + 1) / values.length), 1];
      path(ctx, xs, ys, X, Y, true);
    },
  });
}

function drawCost(box, plot) {
  const points = peers().map((row) => [get(row, "seconds"), scoreOf(row), row[0]]).filter((each) => each[0] > 0);
  const most = Math.max(0, ...points.map((each) => each[0])), least = Math.min(...points.map((each) => each[0]));
  const log = points.length > 4 && most > 30 * least, [low, high] = robust(points.map((each) => each[1]), objective().direction);
  box.hint(`does a slower trial score better?`);
  plot.show({
    x: { label: "seconds", log, min: log ? least * 0.8 : 0, max: most * 1.05 || 1 }, y: { min: low, max: high }, points, tip: lineOf, pick: showTrial, label: `Time against result of ${plural(points.length, "trial")}`,
    draw(ctx, X, Y, { ratio }) {
      ctx.fillStyle = colour("blue"); ctx.globalAlpha = points.length > 500 ? 0.35 : 0.6;
      for (const [x, y] of points) dot(ctx, X(x), Y(y), (points.length > 800 ? 1.6 : 2.8) * ratio);
      ctx.globalAlpha = 1;
    },
  });
}
