// Brackets and rungs: which trainings went on, which stopped, and why.
import { better, children, get, isAlive, objective, rows, S, scoreOf, statusOf } from "./state.js";
import { card, colour, el, num, plural, show } from "./dom.js";
import { dot, Picture } from "./plots.js";
import { showTrial } from "./trial.js";

const FATES = [["promoted", "k-green"], ["trained in full", "k-amber"], ["running", "k-blue"], ["may go on", "k-ring"], ["stopped", "k-grey"], ["failed", "k-red"]];
const SHADE = { promoted: "green", full: "amber", running: "blue", paused: "ink", stopped: "grey", failed: "red", waiting: "ink", lost: "red" };
const MOST = 30;

export function rungs(section) {
  const box = card("Rungs and brackets");
  box.head.lastChild.append(el("span", { class: "key" }, ...FATES.map(([name, kind]) => el("span", { class: kind }, name))));
  section.append(box.node);
  box.body.classList.add("brackets");
  const pictures = new Map(), none = el("p", { class: "empty" }, "This search trains each trial in full, so it has no rungs.");
  return () => {
    const groups = grouped();
    none.remove();
    for (const [key, each] of pictures) if (!groups.has(key)) { each.frame.remove(); pictures.delete(key); }
    if (!groups.size) { box.body.append(none); box.hint(""); return; }
    box.hint("best at the top of each rung; a line leads to where a training goes on");
    [...groups].slice(-MOST).forEach(([key, group]) => {
      if (!pictures.has(key)) {
        const title = el("h3"), host = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Bracket ${key}` }), inner = el("div");
        host.append(inner);
        const frame = el("div", { class: "bracket" }, title, host);
        box.body.append(frame);
        pictures.set(key, { frame, title, inner, picture: new Picture(inner) });
      }
      draw(pictures.get(key), group);
    });
    box.node.dataset.brackets = pictures.size;
  };
}

function grouped() {
  const found = new Map();
  for (const row of rows()) {
    if (get(row, "bracket") === null) continue;
    const key = `${get(row, "iteration")} ${get(row, "bracket")}`;
    if (!found.has(key)) found.set(key, { iteration: get(row, "iteration"), bracket: get(row, "bracket"), rungs: new Map() });
    const rung = found.get(key).rungs, place = get(row, "rung");
    rung.set(place, [...(rung.get(place) ?? []), row]);
  }
  return found;
}

const factor = () => Number(S.search.settings.factor ?? S.search.settings.reduction_factor ?? 3) || 3;

// What became of a trial, and the sentence that says why.
export function fateOf(row, rung, isLast) {
  const status = statusOf(row), number = row[0], on = children().get(number) ?? [];
  const epochs = get(row, "epochs"), end = get(row, "end");
  if (status === "running" || status === "waiting" || status === "lost") return [status, status === "running" ? `trains until epoch ${end}` : status === "lost" ? "its worker is gone; another takes it up" : "waits to be run again"];
  if (status === "failed") return ["failed", show(get(row, "reason") ?? "failed")];
  const done = rung.filter((each) => get(each, "status") === "completed" && scoreOf(each) !== null).sort((a, b) => (better(scoreOf(a), scoreOf(b)) ? -1 : 1));
  const rank = done.indexOf(row) + 1, place = `rank ${rank} of ${rung.length} after ${plural(end, "epoch")}`;
  if (on.length) return ["promoted", `${place}; goes on as trial ${on.join(", ")}`];
  if (epochs !== null && end !== null && epochs < end) return ["stopped", `stopped early, after ${epochs} of ${plural(end, "epoch")}`];
  if (isLast) return ["full", `${place}; trained in full`];
  const quota = Math.floor(rung.length / factor());
  if (isAlive() && rank <= quota) return ["paused", `${place}; among the best ${quota}, so it may go on`];
  return ["stopped", `${place}; about one in ${num(factor())} goes on`];
}

function draw({ title, inner, picture }, group) {
  const places = [...group.rungs.keys()].sort((a, b) => a - b), columns = places.map((place) => group.rungs.get(place));
  const longest = Math.max(...columns.map((each) => each.length)), most = Math.max(...rows().map((row) => get(row, "end") ?? 0));
  const gap = Math.min(17, Math.max(2.5, 420 / longest)), size = Math.max(1.4, Math.min(5.5, gap * 0.36));
  title.textContent = `Bracket ${group.bracket}${group.iteration ? `, iteration ${group.iteration + 1}` : ""}: ${plural(columns.flat().length, "trial")}`;
  inner.style.setProperty("width", `${120 + (places.length - 1) * 150}px`);
  const texts = new Map();
  picture.show({
    height: 46 + longest * gap + 6, tip: (n) => texts.get(n), pick: showTrial,
    label: `${title.textContent}; ${columns.map((each) => `${each.length} trials until epoch ${get(each[0], "end")}`).join(", ")}`,
    draw(ctx, width, height, marks) {
      const at = new Map(), left = 34, step = 150;
      const ranked = columns.map((list) => [...list].sort((a, b) => order(a, b)));
      ranked.forEach((list, column) => list.forEach((row, place) => at.set(row[0], [left + column * step, 46 + place * gap])));
      ctx.lineWidth = 1.2; ctx.strokeStyle = colour("green"); ctx.globalAlpha = longest > 60 ? 0.35 : 0.6;
      for (const row of columns.flat()) {
        const parent = at.get(get(row, "parent")), here = at.get(row[0]);
        if (!parent) continue;
        ctx.beginPath(); ctx.moveTo(parent[0] + size + 1, parent[1]); ctx.bezierCurveTo(parent[0] + step * 0.5, parent[1], here[0] - step * 0.5, here[1], here[0] - size - 1, here[1]); ctx.stroke();
      }
      ctx.globalAlpha = 1;
      ranked.forEach((list, column) => {
        const x = left + column * step, end = get(list[0], "end");
        ctx.textAlign = "center"; ctx.fillStyle = colour("ink"); ctx.font = "600 12px system-ui, sans-serif";
        ctx.fillText(plural(end, "epoch"), x, 14);
        ctx.fillStyle = colour("soft"); ctx.font = "12px system-ui, sans-serif";
        ctx.fillText(plural(list.length, "trial"), x, 29);
        for (const row of list) {
          const [px, py] = at.get(row[0]), [fate, why] = fateOf(row, list, end >= most);
          ctx.fillStyle = ctx.strokeStyle = colour(SHADE[fate]);
          if (fate === "stopped") ctx.globalAlpha = 0.65;
          if (fate === "paused" || fate === "waiting") { ctx.lineWidth = 1.5; ctx.beginPath(); ctx.arc(px, py, size, 0, 6.2832); ctx.stroke(); } else dot(ctx, px, py, size);
          ctx.globalAlpha = 1;
          const score = get(row, "status") === "completed" ? `${objective().name} ${num(scoreOf(row))}` : statusOf(row);
          texts.set(row[0], `Trial ${row[0]}: ${score}\n${why}`);
          marks.push({ x: px, y: py, r: size, n: row[0] });
          if (gap > 11) { const text = get(row, "status") === "completed" ? num(scoreOf(row)) : statusOf(row);
            ctx.textAlign = "left"; ctx.font = "11px system-ui, sans-serif"; ctx.lineWidth = 5; ctx.lineJoin = "round";
            ctx.strokeStyle = colour("card"); ctx.strokeText(text, px + size + 5, py + 4);
            ctx.fillStyle = colour("soft"); ctx.fillText(text, px + size + 5, py + 4);
          }
        }
      });
    },
  });
}

function order(a, b) {
  const x = get(a, "status") === "completed" ? scoreOf(a) : null, y = get(b, "status") === "completed" ? scoreOf(b) : null;
  if (x === null || y === null) return (x === null) - (y === null) || a[0] - b[0];
  return x === y ? a[0] - b[0] : better(x, y) ? -1 : 1;
}
