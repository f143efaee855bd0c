// What the search has taught so far, with the ranges drawn.
import { best, hps, S, valueOf } from "./state.js";
import { card, el, num, plural, show } from "./dom.js";
import { learn, lessons } from "./space.js";
import { askRange } from "./ranges.js";
import { code } from "./setup.js";

const allowed = document.body.dataset.actions === "yes";

const SAYS = { keep: "keep as it is", narrow: "narrow", widen: "widen", drop: "drop some values", freeze: "freeze", "log scale": "search on a log scale" };

export function advice(section) {
  const ranges = card("What to search next", "wide"), text = card("In words", "third");
  const next = card("The next search space, to paste");
  section.append(ranges.node, text.node, next.node);
  const draw = () => {
    const { found } = lessons;
    next.node.hidden = !found?.code;
    if (found?.code) next.body.replaceChildren(code(found.code, "Code of the next search space"));
    if (!found) { ranges.body.replaceChildren(el("p", { class: "empty" }, lessons.failed ?? "Computing …")); return; }
    ranges.hint(`after ${plural(found.after, "trial")}`);
    text.body.replaceChildren(el("pre", { class: "advice-text", tabindex: "0", "aria-label": "The advice in words" }, found.text));
    if (!found.ranges.length) {
      ranges.body.replaceChildren(el("p", { class: "empty" }, S.search?.several ? "With several objectives there is no advice on ranges: what is good for one may be bad for another." : "No advice yet: more trials must finish."));
      return;
    }
    ranges.body.replaceChildren(el("div", { class: "ranges" }, ...found.ranges.map(line)));
  };
  return () => { draw(); learn(draw); };
}

function line(each) {
  const who = el("span", { class: "who" }, show(each.name), el("span", { class: "verdict" }, SAYS[each.verdict] ?? each.verdict));
  const drawn = each.before.low !== undefined ? track(each) : choices(each);
  return el("div", { class: "range", data: { verdict: each.verdict } }, who, drawn, el("span", { class: "say" }, each.text, ...applied(each)));
}

// A button that has the running search draw from the advised range.
function applied(each) {
  if (!allowed || !["narrow", "drop", "freeze"].includes(each.verdict) || S.live.cannot?.ranges) return [];
  const { after } = each, body = after.low !== undefined ? { low: after.low, high: after.high } : each.before.choices ? { values: after.choices ?? [after.default] } : { low: after.default, high: after.default };
  return [" ", el("button", { class: "link", type: "button", "aria-label": `Draw ${show(each.name)} from this range from now on`, on: { click: () => askRange({ name: each.name, ...body }) } }, "Draw from this range from now on")];
}

function track(each) {
  const { before } = each, after = each.after.low !== undefined ? each.after : { low: Number(each.after.default), high: Number(each.after.default) };
  const log = (before.log || after.log) && Math.min(before.low, after.low) > 0, to = log ? Math.log : (value) => value;
  const low = to(Math.min(before.low, after.low)), high = to(Math.max(before.high, after.high)), place = (value) => (100 * (to(value) - low)) / (high - low || 1);
  const top = best(), at = hps().findIndex((entry) => entry.name === each.name), value = top && at >= 0 ? valueOf(top, at) : null;
  return el("div", { role: "img", "aria-label": `from ${num(before.low)} to ${num(before.high)}, advised ${num(after.low)} to ${num(after.high)}` },
    el("div", { class: "track" }, el("b", { class: each.changes ? "" : "same", style: { left: `${place(after.low)}%`, width: `${Math.max(0.6, place(after.high) - place(after.low))}%` } }), typeof value === "number" ? el("u", { style: { left: `${Math.min(100, Math.max(0, place(value)))}%` }, title: `best trial: ${num(value)}` }) : ""),
    el("div", { class: "ends" }, el("span", {}, num(Math.min(before.low, after.low))), each.changes ? el("span", {}, `${num(after.low)} to ${num(after.high)}`) : "", el("span", {}, num(Math.max(before.high, after.high)))));
}

function choices(each) {
  const kept = new Set((each.after.choices ?? [each.after.default]).map(show));
  return el("div", { class: "choices" }, ...(each.before.choices ?? []).map((value) => el("span", { class: kept.has(show(value)) ? "in" : "out" }, show(value))));
}
