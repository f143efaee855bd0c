// The first view: how the search goes, and what runs now.
import { ask, better, best, finished, fronts, get, hps, objective, ranked, robust, rows, S, scoreOf, valueOf, whole } from "./state.js";
import { card, choice, colour, el, num, plural, show, span, svg } from "./dom.js";
import { dot, path, Plot } from "./plots.js";
import { showTrial } from "./trial.js";
import { headline, tell, told } from "./setup.js";
import { kept } from "./source.js";

const MOST_CURVES = 24, MOST_TOPS = 10;
let metric = "";

export function overview(section) {
  const past = card("History", "half");
  past.head.lastChild.append(el("span", { class: "key" }, el("span", { class: "k-blue" }, "trial"), el("span", { class: "k-line" }, "best so far"), el("span", { class: "k-red" }, "failed")));
  const lines = card("Learning curves", "half");
  const front = card("Pareto front");
  const runs = card("Running now");
  const tops = card("Best configurations");
  const head = headline(section), { best: one, volume, final } = head.box;
  section.append(past.node, lines.node, front.node, volume.node, runs.node, tops.node, one.node, final.node);
  const volumes = new Plot(volume.body, 320), drawHead = () => { head.draw(); drawVolumes(volume, volumes); };
  const history = new Plot(past.body, 320), curves = new Plot(lines.body, 320);
  const pareto = frontier(front);
  const learn = learning(lines, curves);
  return () => {
    drawHead(); tell(drawHead);
    drawHistory(past, history);
    learn();
    front.node.hidden = !S.search?.several;
    front.node.classList.toggle("wide", Boolean(told.found?.volumes.length));
    if (S.search?.several) pareto();
    drawRuns(runs);
    drawTops(tops);
  };
}

export function lineOf(number) {
  const row = S.rows.get(number);
  if (!row) return `trial ${number}`;
  const names = hps(), parts = names.map((each, place) => [each.name, valueOf(row, place)]).filter(([, value]) => value !== null).slice(0, 8);
  const score = get(row, "status") === "completed" ? `${objective().name} ${num(scoreOf(row))}` : get(row, "reason") ?? get(row, "status");
  return [`Trial ${number}: ${score}`, ...parts.map(([name, value]) => `${name} = ${show(value)}`)].join("\n");
}

function drawHistory(box, plot) {
  const done = finished();
  if (!done.length) { box.hint("no trial has finished yet"); }
  const points = [], xs = [], ys = [], failed = [];
  let top = null;
  done.forEach((row, place) => {
    const score = scoreOf(row), x = place + 1;
    if (get(row, "status") !== "completed" || score === null) { failed.push([x, row[0]]); return; }
    points.push([x, score, row[0]]);
    if (top === null || better(score, top)) { top = score; xs.push(x); ys.push(score); }
  });
  if (top !== null) { xs.push(done.length); ys.push(top); }
  const [low, high] = robust(points.map((each) => each[1]), objective().direction);
  const off = points.filter((each) => each[1] < low || each[1] > high).length;
  box.hint(`${objective().name} of each trial, in the order in which they ended${off ? `; ${off} off the scale lie at the edge` : ""}`);
  plot.show({
    x: { label: "trials finished", min: 0.5, max: Math.max(done.length, 2) + 0.5, whole: true }, y: { min: low, max: high },
    points: [...points, ...failed.map(([x, n]) => [x, low, n])], tip: lineOf, pick: showTrial,
    label: `History of ${plural(done.length, "finished trial")}; the best ${objective().name} is ${num(top)}`,
    draw(ctx, X, Y, { ratio }) {
      const size = (points.length > 3000 ? 1.4 : points.length > 500 ? 2 : 3) * ratio;
      ctx.fillStyle = colour("blue"); ctx.globalAlpha = points.length > 500 ? 0.4 : 0.6;
      for (const [x, y] of points) dot(ctx, X(x), Y(y), size);
      ctx.globalAlpha = 1; ctx.fillStyle = colour("red");
      for (const [x] of failed) ctx.fillRect(X(x) - ratio, Y(low) - 7 * ratio, 2 * ratio, 7 * ratio);
      ctx.strokeStyle = colour("ink"); ctx.lineWidth = 1.8 * ratio;
      path(ctx, xs, ys, X, Y, true);
      if (xs.length) { ctx.fillStyle = colour("amber"); dot(ctx, X(xs[xs.length - 2] ?? xs[0]), Y(top), 4.5 * ratio); }
    },
  });
}

function learning(box, plot) {
  let drawn = {}, key = "", busy = false;
  box.hint("the best trainings, and those that run");
  box.head.lastChild.append(el("span", { class: "key" }, el("span", { class: "k-amber" }, "best"), el("span", { class: "k-blue" }, "running"), el("span", { class: "k-grey" }, "others")));
  async function fetchCurves(numbers, now) {
    busy = true;
    try { drawn = await ask("curves", { trials: numbers.join(","), ...(S.search?.several ? { metric: objective().name } : {}) }); key = now; paint(); } catch { /* the next change tries again */ } finally { busy = false; }
  }
  function paint() {
    const running = new Map((S.aim === 0 ? S.live.running ?? [] : []).filter((each) => each.curve?.[0]?.length).map((each) => [each.number, each.curve]));
    const lines = Object.entries(drawn).map(([number, curve]) => [Number(number), curve]).filter(([number]) => !running.has(number));
    const every = [...lines, ...running].filter(([, [xs]]) => xs.length);
    const values = every.flatMap(([, [, ys]]) => ys.filter((value) => value !== null));
    const top = best()?.[0], last = Math.max(1, ...every.map(([, [xs]]) => xs[xs.length - 1]));
    const [low, high] = robust(values, objective().direction);
    const points = every.flatMap(([number, [xs, ys]]) => xs.map((x, place) => [x, ys[place], number]).filter((each) => each[1] !== null));
    plot.host.dataset.curves = every.length;
    plot.show({
      x: { label: "epoch", min: last > 1 ? 1 : 0, max: last > 1 ? last : 2, whole: true }, y: { min: low, max: high }, points,
      tip: lineOf, pick: showTrial, label: `Learning curves of ${plural(every.length, "training")}`,
      draw(ctx, X, Y, { ratio }) {
        if (!every.length) return;
        const line = ([number, [xs, ys]], name, width, alpha) => {
          ctx.strokeStyle = ctx.fillStyle = colour(name); ctx.lineWidth = width * ratio; ctx.globalAlpha = alpha;
          path(ctx, xs, ys, X, Y);
          if (running.has(number) || xs.length === 1) dot(ctx, X(xs[xs.length - 1]), Y(ys[ys.length - 1]), 3 * ratio);
          ctx.globalAlpha = 1;
        };
        for (const each of lines) if (each[0] !== top) line(each, "grey", 1.2, 0.5);
        for (const each of running) line(each, "blue", 1.8, 1);
        for (const each of every) if (each[0] === top) line(each, "amber", 2.6, 1);
      },
    });
    box.hint(every.length ? `${plot.host.dataset.curves} of ${plural(rows().length, "trial")}: the best, and those that run` : "no trial has reported an epoch yet");
  }
  return () => {
    const numbers = whole().slice(0, MOST_CURVES).map((row) => row[0]);
    const now = `${S.generation} ${S.aim} ${numbers.join()}`;
    if (now !== key && !busy) fetchCurves(numbers, now);
    paint();
  };
}

function drawVolumes(box, plot) {
  const shares = told.found?.volumes ?? [];
  if (!shares.length) return;
  box.hint("of the front, as a share of its final one");
  const xs = shares.map((_, place) => place + 1);
  plot.show({
    x: { label: "trials finished", min: 0.5, max: shares.length + 0.5, whole: true }, y: { min: 0, max: 1.05 },
    points: shares.map((share, place) => [place + 1, share, place]), tip: (place) => `after ${plural(place + 1, "trial")}: ${Math.round(100 * shares[place])} %`,
    label: `Hypervolume after each of ${plural(shares.length, "trial")}`,
    draw(ctx, X, Y, { ratio }) {
      ctx.strokeStyle = colour("blue"); ctx.lineWidth = 2 * ratio;
      path(ctx, xs, shares, X, Y, true);
    },
  });
}

function frontier(box) {
  let a = 0, b = 1;
  const host = el("div");
  box.body.append(host);
  const plot = new Plot(host, 340);
  box.head.lastChild.append(el("span", { class: "key" }, el("span", { class: "k-amber" }, "on the front"), el("span", { class: "k-grey" }, "dominated")));
  let pickers = 0;
  return () => {
    const aims = S.search.objectives;
    if (aims.length > 2 && pickers !== aims.length) {
      pickers = aims.length;
      const options = aims.map((each, place) => [String(place), each.name]);
      box.head.lastChild.append(choice("Horizontal", options, "0", (value) => { a = Number(value); draw(); }), choice("Vertical", options, "1", (value) => { b = Number(value); draw(); }));
    }
    draw();
  };
  function draw() {
    const aims = S.search.objectives, front = fronts();
    const known = rows().filter((row) => get(row, "status") === "completed" && row[S.OBJ + a] !== null && row[S.OBJ + b] !== null);
    const points = known.map((row) => [row[S.OBJ + a], row[S.OBJ + b], row[0]]);
    const [x0, x1] = robust(points.map((each) => each[0]), aims[a].direction), [y0, y1] = robust(points.map((each) => each[1]), aims[b].direction);
    const on = points.filter((each) => front.has(each[2])).sort((p, q) => p[0] - q[0]);
    box.hint(`${plural(front.size, "trial")} that no other trial beats in every objective`);
    host.dataset.front = on.length;
    plot.show({
      x: { label: `${aims[a].name} (${aims[a].direction})`, min: x0, max: x1 }, y: { label: `${aims[b].name} (${aims[b].direction})`, min: y0, max: y1 }, points,
      tip: (n) => [`Trial ${n}`, ...aims.map((each, place) => `${each.name} ${num(S.rows.get(n)[S.OBJ + place])}`)].join("\n"), pick: showTrial,
      label: `Pareto front of ${plural(on.length, "trial")}`,
      draw(ctx, X, Y, { ratio }) {
        ctx.fillStyle = colour("grey"); ctx.globalAlpha = 0.5;
        for (const [x, y, n] of points) if (!front.has(n)) dot(ctx, X(x), Y(y), 3 * ratio);
        ctx.globalAlpha = 1; ctx.strokeStyle = colour("amber"); ctx.lineWidth = 1.4 * ratio;
        if (aims.length === 2) path(ctx, on.map((each) => each[0]), on.map((each) => each[1]), X, Y, true);
        ctx.fillStyle = colour("amber");
        for (const [x, y] of on) dot(ctx, X(x), Y(y), 4.5 * ratio);
      },
    });
  }
}

function drawRuns(box) {
  const running = S.live.running ?? [];
  box.node.hidden = Boolean(kept) && !running.length;
  box.hint(running.length ? `${plural(running.length, "trial")}; each follows the ${S.search.objectives[0].name}` : "");
  if (!running.length) {
    const why = S.live.reason ? `The search has ended: ${S.live.reason}.` : S.rows.size ? "No process works on this search now. Run its script again to continue it." : "The search has not begun.";
    box.body.replaceChildren(el("p", { class: "empty" }, why));
    return;
  }
  box.body.replaceChildren(el("div", { class: "runs" }, ...running.slice(0, 60).map(runCard)), running.length > 60 ? el("p", { class: "hint" }, `and ${running.length - 60} more: see Trials`) : "");
}

function runCard(run) {
  const row = S.rows.get(run.number), end = row ? get(row, "end") : null, asked = (S.live.asked?.end ?? []).includes(run.number);
  const [xs, ys] = run.curve ?? [[], []], last = ys[ys.length - 1];
  const state = run.lost ? "its worker is gone" : asked ? "ends after this epoch" : run.owner ?? "";
  return el("button", { class: "run", type: "button", on: { click: () => showTrial(run.number) } },
    el("span", { class: "head" }, el("span", {}, `Trial ${run.number}`), el("span", {}, last === undefined ? "" : num(last))),
    spark(xs, ys),
    el("span", { class: "foot" }, el("span", {}, run.epoch ? `epoch ${run.epoch}${end ? ` of ${end}` : ""}` : "first epoch"), el("span", {}, state)));
}

export function spark(xs, ys) {
  const known = ys.map((y, place) => [xs[place], y]).filter(([, y]) => y !== null);
  const box = svg("svg", { viewBox: "0 0 100 38", preserveAspectRatio: "none", "aria-hidden": "true" });
  if (known.length < 2) return box;
  const x0 = known[0][0], x1 = known[known.length - 1][0], low = Math.min(...known.map((each) => each[1])), high = Math.max(...known.map((each) => each[1]));
  const text = known.map(([x, y], place) => `${place ? "L" : "M"}${(100 * (x - x0)) / (x1 - x0 || 1)} ${36 - (34 * (y - low)) / (high - low || 1)}`).join("");
  box.append(svg("path", { class: "spark", d: text }));
  return box;
}

function drawTops(box) {
  const known = S.search?.several ? ranked().filter((row) => fronts().has(row[0])) : whole(), list = known.slice(0, MOST_TOPS);
  box.hint(S.search?.several ? `${list.length} of ${plural(known.length, "trial")} on the front, by ${objective().name}` : known.length > list.length ? `${list.length} of ${plural(known.length, "configuration")}; the others are under Trials` : "");
  if (!list.length) { box.body.replaceChildren(el("p", { class: "empty" }, "No trial has a score yet.")); return; }
  const aims = S.search.objectives, several = S.search.several;
  const values = hps().map((entry, place) => [entry, place]).filter(([entry]) => entry.varies).slice(0, 10);
  const head = el("tr", {}, el("th", {}, "Trial"), ...(several ? aims.map((each) => el("th", { class: "n" }, each.name)) : [el("th", { class: "n" }, aims[0].name)]), el("th", { class: "n" }, "Epochs"), el("th", { class: "n" }, "Time"), ...values.map(([entry]) => el("th", { class: entry.low !== undefined ? "n" : "" }, show(entry.name))));
  box.body.replaceChildren(el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Best configurations" }, el("table", { class: "list" }, el("thead", {}, head), el("tbody", {}, ...list.map((row) => el("tr", {},
    el("td", { class: "fix" }, el("button", { class: "link", type: "button", on: { click: () => showTrial(row[0]) } }, `Trial ${row[0]}`)),
    ...(several ? aims.map((_, place) => el("td", { class: "n" }, num(row[S.OBJ + place]))) : [el("td", { class: "n" }, num(scoreOf(row)))]),
    el("td", { class: "n" }, num(get(row, "epochs")), ...parts(row)), el("td", { class: "n" }, span(get(row, "seconds"))), ...values.map(([entry, place]) => el("td", { class: entry.low !== undefined ? "n" : "" }, show(valueOf(row, place))))))))));
}

// The trials in which a configuration was trained, one after another, behind a fold.
function parts(row) {
  const line = [row];
  for (let before = S.rows.get(get(row, "parent")); before && !line.includes(before); before = S.rows.get(get(before, "parent"))) line.unshift(before);
  if (line.length < 2) return [];
  const said = (each) => `trial ${each[0]}: epochs ${get(each, "start") + 1} to ${get(each, "epochs") ?? "?"}, ${num(scoreOf(each))}`;
  return [el("details", {}, el("summary", {}, `in ${line.length} parts`), ...line.map((each) => el("div", {}, said(each))))];
}
