// What was searched, and how: the sentences and tables that no figure tells.
import { ask, finished, rows, S } from "./state.js";
import { card, el, plural, show, span } from "./dom.js";
import { showTrial } from "./trial.js";

const PAUSE = 5000;
export const told = { key: "", found: null, busy: false, at: 0, failed: null, waiting: new Set() };

// Asked for again once trials have begun or ended, and not more often than needed.
export async function tell(then) {
  const key = `${S.generation} ${rows().length} ${finished().length} ${S.live.state}`;
  if (told.busy) { told.waiting.add(then); return; }
  if (key === told.key || !S.search?.algorithm) return;
  const wait = told.key.startsWith(`${S.generation} `) ? told.at + PAUSE - Date.now() : 0;
  told.busy = true;
  if (wait > 0) await new Promise((done) => { setTimeout(done, wait); });
  try { told.found = await ask("about"); told.failed = null; } catch (error) { told.failed = error.message; }
  told.key = key; told.at = Date.now(); told.busy = false;
  for (const each of new Set([then, ...told.waiting])) each();
  told.waiting.clear();
}

const paragraphs = (sentences) => sentences.map((text) => el("p", {}, show(text)));
const pairs = (list) => el("dl", { class: "values" }, ...list.map(([name, value]) => el("div", {}, el("dt", {}, show(name)), el("dd", {}, show(value)))));
const link = (number, text) => el("button", { class: "link", type: "button", on: { click: () => showTrial(number) } }, text ?? String(number));
export const code = (text, label) => el("pre", { class: "code", tabindex: "0", "aria-label": label }, text);

// -- on the first view -----------------------------------------------------------------------

export function headline(section) {
  const sum = card("Summary"), best = card("The best configuration"), volume = card("Hypervolume", "third"), final = card("The final model");
  section.append(sum.node, best.node, volume.node, final.node);
  const box = { sum, best, volume, final };
  const draw = () => {
    const { found } = told;
    sum.body.replaceChildren(...(found ? paragraphs(found.summary) : [el("p", { class: "empty" }, told.failed ?? (S.search?.algorithm ? "Computing …" : "The search has not begun."))]));
    best.node.hidden = !found?.best;
    if (found?.best) {
      best.hint(`trial ${found.best.number}`);
      best.body.replaceChildren(pairs(found.best.values));
    }
    volume.node.hidden = !found?.volumes.length;
    final.node.hidden = !found?.final;
    if (found?.final) judged(final, found.final);
  };
  return { box, draw };
}

function judged(box, { sentences, classes, confusion }) {
  const names = classes.map((each) => each[0]), parts = [...paragraphs(sentences)];
  if (classes.length) parts.push(el("h3", {}, "Each class"), table(["Class", "Precision", "Recall", "F1", "Count"], classes, "Each class"));
  if (confusion.length) parts.push(el("h3", {}, "Confusion: true classes are rows, predicted ones are columns"), table(["", ...names], confusion.map((row, place) => [names[place], ...row.map((count) => cellOf(count, row))]), "Confusion matrix"));
  box.body.replaceChildren(...parts);
}

function cellOf(count, row) {
  const whole = row.reduce((sum, each) => sum + each, 0) || 1;
  return el("span", { class: "share", style: { "--share": `${Math.round((40 * count) / whole)}%` } }, String(count));
}

function table(head, lines, label) {
  const right = (place) => (place && lines.every((line) => typeof line[place] !== "string") ? "n" : "");
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, el("table", { class: "list" },
    el("thead", {}, el("tr", {}, ...head.map((text, place) => (text === "" ? el("td") : el("th", { class: right(place) }, show(text)))))),
    el("tbody", {}, ...lines.map((line) => el("tr", {}, ...line.map((value, place) => el("td", { class: right(place) || (typeof value === "string" && value.length <= 12 ? "fix" : "") }, value instanceof Node ? value : show(value))))))));
}

// -- on the views of trials and of time ------------------------------------------------------

export function failures(section) {
  const box = card("Failures");
  section.append(box.node);
  const draw = () => {
    const list = told.found?.failures ?? [];
    box.node.hidden = !list.length;
    if (list.length) box.body.replaceChildren(table(["Kind", "Reason", "How often", "Trials"], list.map((each) => [el("span", { class: "kind" }, show(each.kind)), each.reason, each.count, el("span", { class: "numbers" }, ...each.trials.flatMap((number) => [link(number), " "]), each.count > each.trials.length ? "…" : "")]), "Failures"));
  };
  return () => { draw(); tell(draw); };
}

export function spent(section) {
  const box = card("Where the time went");
  section.append(box.node);
  const draw = () => {
    const found = told.found, parts = found?.seconds ?? [], whole = parts.reduce((sum, [, seconds]) => sum + seconds, 0);
    box.node.hidden = !whole && !found?.training.length;
    if (box.node.hidden) return;
    const bar = whole ? [el("div", { class: "parts" }, ...parts.map(([, seconds], place) => el("i", { class: `c${place % 6}`, style: { width: `${(100 * seconds) / whole}%` } }))),
      el("p", { class: "hint" }, ...parts.flatMap(([name, seconds], place) => [el("i", { class: `dot c${place % 6}` }), `${show(name)} ${span(seconds)}   `]))] : [];
    box.body.replaceChildren(...bar, ...paragraphs(found.training));
  };
  return () => { draw(); tell(draw); };
}

// -- a view of its own -----------------------------------------------------------------------

export function setup(section) {
  const how = card("The search"), again = card("How to reproduce it", "half"), rules = card("Constraints not applied"), space = card("Search space", "half");
  section.append(how.node, rules.node, space.node, again.node);
  const draw = () => {
    const { found } = told;
    rules.node.hidden = !found?.rules.length;
    if (!found) {
      for (const each of [how, again, space]) each.body.replaceChildren(el("p", { class: "empty" }, told.failed ?? (S.search?.algorithm ? "Computing …" : "The search has not begun.")));
      return;
    }
    how.body.replaceChildren(...paragraphs(found.searched));
    again.body.replaceChildren(...paragraphs(found.reproduce), code(found.code, "Code that builds the best model"));
    rules.body.replaceChildren(el("p", {}, "The trials keep to these. The advice does not, as only the script has their functions."), el("ul", {}, ...found.rules.map((text) => el("li", {}, show(text)))));
    space.hint(plural(found.space.length, "hyperparameter"));
    space.body.replaceChildren(table(["Hyperparameter", "Kind", "Range", "Active"], found.space, "Search space"));
  };
  return () => { draw(); tell(draw); };
}
