// The panel at the side: one trial, or several beside each other, or a new configuration.
import { act, ask, changed, get, hps, objective, S, statusOf, valueOf } from "./state.js";
import { byId, choice, colour, el, many, num, plural, say, show, span } from "./dom.js";
export { ordered, shell };
import { dot, path, Plot } from "./plots.js";

const allowed = document.body.dataset.actions === "yes";
let open = null, back = null, stamp = "";

function shell(title, kind, ...head) {
  const panel = byId("panel");
  if (kind === "form-panel") open = { form: true };
  if (panel.hidden) back = document.activeElement;
  panel.className = kind;
  panel.hidden = false;
  const close = el("button", { class: "quiet close", type: "button", on: { click: hide } }, "Close");
  panel.replaceChildren(el("header", {}, el("h2", { tabindex: "-1" }, title), ...head, close));
  panel.scrollTop = 0;
  return panel;
}

export function hide() {
  byId("panel").hidden = true; open = null;
  if (back?.isConnected) back.focus();
}
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !byId("panel").hidden) hide(); });

export async function showTrial(number) {
  open = { number };
  let found;
  try { found = await ask(`trial/${number}`); } catch (error) { say(error.message); return; }
  if (open?.number !== number) return;
  draw(found, true);
  byId("panel").querySelector("h2").focus();
}

// While a trial runs, its panel follows it; what somebody types stays.
export async function refreshPanel() {
  if (open?.number === undefined) return;
  const row = S.rows.get(open.number), run = (S.live.running ?? []).find((each) => each.number === open.number);
  const now = JSON.stringify([S.generation, row, run, S.live.asked, S.live.remarks?.[open.number]]);
  if (now === stamp || document.activeElement?.closest?.("#panel textarea, #panel .form")) return;
  stamp = now;
  const { number } = open;
  try { const found = await ask(`trial/${number}`); if (open?.number === number) draw(found, false); } catch { /* gone */ }
}

function draw(trial, fresh) {
  const { number } = trial, row = S.rows.get(number), status = row ? statusOf(row) : trial.status;
  const run = (S.live.running ?? []).find((each) => each.number === number);
  stamp = JSON.stringify([S.generation, row, run, S.live.asked, S.live.remarks?.[number]]);
  const top = byId("panel").scrollTop;
  const panel = shell(`Trial ${number}`, "", el("span", { class: `chip ${status}` }, status));
  if (!fresh) panel.scrollTop = top;
  const say1 = [];
  if (row && get(row, "status") === "completed") say1.push(...S.search.objectives.map((each, place) => `${each.name} ${num(S.search.several ? row[S.OBJ + place] : get(row, "score"))}`));
  if (row && get(row, "epochs")) say1.push(plural(get(row, "epochs"), "epoch"));
  if (row && get(row, "best") !== null && get(row, "best") !== undefined && get(row, "status") === "completed" && trial.epochs) say1.push(`best after epoch ${get(row, "best") + 1}`);
  if (run) say1.push(run.lost ? "its worker is gone" : `runs in ${run.owner ?? "another process"}`);
  else if (row) say1.push(span(get(row, "seconds")));
  panel.append(el("p", { class: "muted" }, say1.join(" · ")));
  if (trial.failure) {
    panel.append(el("h3", {}, `Why it failed: ${trial.failure.kind}`), el("pre", { tabindex: "0", "aria-label": "Reason and traceback" }, trial.failure.message));
  }
  if (trial.left_out) panel.append(el("p", { class: "notice" }, "This report keeps no curves and notes of this trial. Its project has them."));
  if (allowed) panel.append(actions(trial, row, run));
  panel.append(el("h3", {}, "Values"), pairs(trial.values));
  curves(panel, trial);
  if (trial.metrics.length) panel.append(el("h3", {}, "Metrics at the best epoch"), pairs(trial.metrics));
  time(panel, trial);
  facts(panel, trial);
  if (trial.line.length > 1 || trial.children.length) panel.append(el("h3", {}, "Its training"), training(trial));
  if (trial.notes.length) panel.append(el("h3", {}, "Notes of the search"), pairs(trial.notes));
  if (allowed) panel.append(...remarks(number));
  const remark = S.live.remarks?.[number];
  if (remark && !allowed) panel.append(el("h3", {}, "Note"), el("p", {}, show(remark)));
  if (!allowed) panel.append(el("p", {}, el("button", { class: "quiet", type: "button", on: { click: () => chooseFor(number) } }, "Choose for comparison")));
}

function pairs(list) {
  return el("table", { class: "list" }, el("tbody", {}, ...list.map(([name, value]) => el("tr", {}, el("td", { class: "muted" }, show(name)), el("td", {}, show(value))))));
}

// When and where it ran, its model, and its files.
function facts(panel, trial) {
  const { ran, model, files } = trial;
  if (ran) {
    const at = (text) => el("time", { datetime: text }, new Date(text).toLocaleString());
    panel.append(el("h3", {}, "When and where it ran"), el("table", { class: "list" }, el("tbody", {}, ...[["began", at(ran.began)], ["ended", at(ran.ended)], ["worker", show(ran.where)]].filter((pair) => pair[1]).map(([name, value]) => el("tr", {}, el("td", { class: "muted" }, name), el("td", {}, value))))));
  }
  if (model) {
    const frozen = model.parameters - model.trainable;
    panel.append(el("h3", {}, "Model"), el("p", { class: "hint" }, `${plural(model.layers.length + model.more, "layer")}, ${plural(model.parameters, "parameter")}${frozen ? `, ${many(frozen)} of them not trained` : ""}`),
      listing("Layers", ["Layer", "Class", "Output", "Parameters"], model.layers.map(([name, kind, shape, size]) => [name, kind, shape ?? "–", many(size)]), model.more, "layer"));
  }
  if (files) {
    panel.append(el("h3", {}, "Files"), el("p", { class: "hint" }, show(files.folder)),
      files.files.length ? listing("Files", ["File", "Size"], files.files.map(([name, size]) => [name, bytes(size)]), files.more, "file") : el("p", { class: "empty" }, "The folder is empty."));
  }
}

function listing(label, names, rows, more, word) {
  const cells = (tag, values) => el("tr", {}, ...values.map((value) => el(tag, {}, show(value))));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, el("table", { class: "list" }, el("thead", {}, cells("th", names)), el("tbody", {}, ...rows.map((row) => cells("td", row)))), more ? el("p", { class: "hint" }, `and ${plural(more, `more ${word}`)}`) : "");
}

const bytes = (size) => (size < 1000 ? plural(size, "byte") : size < 1e6 ? `${num(size / 1e3)} kB` : `${num(size / 1e6)} MB`);

function training(trial) {
  const link = (number) => el("button", { class: "link", type: "button", on: { click: () => showTrial(number) } }, `trial ${number}`);
  const before = trial.line.slice(0, -1);
  return el("p", {}, before.length ? "Continues " : "", ...before.flatMap((number) => [link(number), " "]), trial.children.length ? "Continued by " : "", ...trial.children.flatMap((number) => [link(number), " "]));
}

function time(panel, trial) {
  const whole = trial.seconds.reduce((sum, [, value]) => sum + value, 0);
  if (!whole || trial.seconds.length < 2) return;
  panel.append(el("h3", {}, "Where its time went"),
    el("div", { class: "parts" }, ...trial.seconds.map(([, value], place) => el("i", { class: `c${place % 6}`, style: { width: `${(100 * value) / whole}%` } }))),
    el("p", { class: "hint" }, ...trial.seconds.flatMap(([name, value], place) => [el("i", { class: `dot c${place % 6}` }), `${show(name)} ${span(value)}   `])));
}

function curves(panel, trial) {
  const names = Object.keys(trial.curves).filter((name) => trial.curves[name][0].length > 1);
  const bases = names.filter((name) => !(name.startsWith("val_") && names.includes(name.slice(4))));
  if (!bases.length) return;
  panel.append(el("h3", {}, "Curves"));
  const order = (name) => (S.search.objectives.some((each) => each.name === name || each.name === `val_${name}`) ? 0 : 1);
  for (const name of bases.sort((a, b) => order(a) - order(b)).slice(0, 12)) {
    const lines = [[name, "grey"], [`val_${name}`, "blue"]].filter(([each]) => trial.curves[each]);
    if (lines.length === 1) lines[0][1] = "blue";
    const host = el("div");
    panel.append(el("p", { class: "hint" }, show(name), lines.length > 1 ? el("span", { class: "key" }, " ", el("span", { class: "k-grey" }, "training"), el("span", { class: "k-blue" }, "validation")) : ""), host);
    linePlot(host, lines.map(([each, shade]) => [trial.curves[each], shade, each]), 170, (each) => show(each));
  }
}

function linePlot(host, lines, height, tip) {
  const every = lines.filter(([[xs]]) => xs.length), last = Math.max(1, ...every.map(([[xs]]) => xs[xs.length - 1]));
  const values = every.flatMap(([[, ys]]) => ys.filter((value) => value !== null));
  const low = Math.min(...values), high = Math.max(...values), pad = (high - low) * 0.08 || Math.abs(high) * 0.05 || 0.5;
  new Plot(host, height).show({
    x: { min: last > 1 ? 1 : 0, max: last > 1 ? last : 2, whole: true }, y: { min: low - pad, max: high + pad }, label: `Curves of ${every.map((each) => each[2]).join(", ")}`,
    points: every.flatMap(([[xs, ys], , name], place) => xs.map((x, at) => [x, ys[at], [place, at]]).filter((each) => each[1] !== null)),
    tip: ([place, at]) => `${tip(every[place][2])}\nepoch ${every[place][0][0][at]}: ${num(every[place][0][1][at])}`,
    draw(ctx, X, Y, { ratio }) {
      ctx.lineWidth = 1.8 * ratio;
      for (const [[xs, ys], shade] of every) {
        ctx.strokeStyle = ctx.fillStyle = colour(shade);
        path(ctx, xs, ys, X, Y);
        if (xs.length === 1) dot(ctx, X(xs[0]), Y(ys[0]), 3 * ratio);
      }
    },
  });
}

// -- actions ---------------------------------------------------------------------------------

async function ordered(body) { try { say(await act(body)); } catch (error) { say(error.message); } }

function actions(trial, row, run) {
  const { number } = trial;
  const asked = (S.live.asked?.end ?? []).includes(number);
  const buttons = [];
  if (run && !run.lost) buttons.push(el("button", { class: "quiet danger", type: "button", disabled: asked, on: { click: () => ordered({ do: "end", trial: number }) } }, asked ? "Ends after this epoch" : "End this trial after its epoch"));
  const { cannot = {} } = S.live, status = row ? statusOf(row) : "", waits = (S.live.asked?.pause ?? []).includes(number), why = [];
  if (status === "paused" || (run && waits)) buttons.push(el("button", { class: "quiet", type: "button", on: { click: () => ordered({ do: "resume", trial: number }) } }, status === "paused" ? "Resume" : "Do not pause"));
  else if (run && !run.lost) {
    buttons.push(el("button", { class: "quiet", type: "button", disabled: Boolean(cannot.pause), on: { click: () => ordered({ do: "pause", trial: number }) } }, "Pause after its epoch"));
    if (cannot.pause) why.push(`This trial cannot be paused: ${cannot.pause}.`);
  }
  if (row) buttons.push(el("button", { class: "quiet", type: "button", on: { click: () => propose(row) } }, "Try a variation"));
  buttons.push(el("button", { class: "quiet", type: "button", on: { click: () => chooseFor(number) } }, "Choose for comparison"));
  if (status === "completed" && get(row, "epochs")) {
    if (cannot.boost) why.push(`This trial cannot train for longer: ${cannot.boost}.`);
    else buttons.push(boost(number, get(row, "epochs")));
  }
  const waiting = (S.live.asked?.boost ?? []).filter((each) => each[0] === number);
  if (waiting.length) why.push(`A new trial continues this one for ${plural(waiting[0][1], "more epoch")} when a worker is free.`);
  return el("div", {}, el("p", { class: "row" }, ...buttons), ...why.map((text) => el("p", { class: "hint" }, text)));
}

function boost(number, epochs) {
  const field = el("input", { type: "number", class: "short", min: 1, max: 100000, step: 1, value: String(Math.max(1, epochs)), "aria-label": `Epochs more for trial ${number}` });
  const ask1 = el("form", { class: "row", on: { submit: (event) => { event.preventDefault(); ordered({ do: "boost", trial: number, epochs: Number(field.value) }); } } });
  ask1.append(el("button", { class: "quiet", type: "submit" }, "Train longer, by"), field, el("span", { class: "hint" }, "epochs"));
  return ask1;
}

function chooseFor(number) {
  if (S.chosen.size >= 6 && !S.chosen.has(number)) { say("At most 6 trials can be compared."); return; }
  S.chosen.add(number);
  say(`${plural(S.chosen.size, "trial")} chosen. Compare them under Trials.`);
  changed();
}

function remarks(number) {
  const found = [];
  const text = el("textarea", { "aria-label": `Note on trial ${number}`, maxlength: 2000, placeholder: "A note for people" });
  text.value = S.live.remarks?.[number] ?? "";
  found.push(el("h3", {}, "Note"), text, el("p", {}, el("button", { class: "quiet", type: "button", on: { click: () => ordered({ do: "remark", trial: number, text: text.value }) } }, "Keep the note")));
  return found;
}

// A form with a trial's values, or the defaults, from which a new trial is asked for.
export function propose(row = null) {
  const panel = shell("Try a configuration", "form-panel");
  const fields = hps().filter((entry) => entry.varies).map((entry) => {
    const value = (row && valueOf(row, hps().indexOf(entry))) ?? entry.default, id = `try-${hps().indexOf(entry)}`;
    const names = entry.choices?.map(show);
    const field = entry.choices ? choice(entry.name, entry.choices.map((each, place) => [String(place), names[place]]), String(Math.max(0, names.indexOf(show(value)))), () => {}) : el("input", { type: "text", inputmode: "decimal", value: String(value) });
    field.id = id;
    return { entry, field, read: () => (entry.choices ? entry.choices[Number(field.value)] : field.value) };
  });
  const form = el("form", { on: { submit: async (event) => {
    event.preventDefault();
    try { say(await act({ do: "try", values: Object.fromEntries(fields.map((each) => [each.entry.name, each.read()])) })); hide(); } catch (error) { say(error.message); }
  } } }, el("div", { class: "form" }, ...fields.flatMap(({ entry, field }) => [el("label", { for: field.id }, show(entry.name), entry.low !== undefined ? el("span", { class: "hint" }, ` ${num(entry.low)} to ${num(entry.high)}`) : ""), field])),
  el("p", {}, " "), el("button", { class: "strong", type: "submit" }, "Try it next"));
  panel.append(el("p", { class: "muted" }, "The next trial that begins from scratch takes these values."), form);
  panel.querySelector("h2").focus();
}

// -- comparison ------------------------------------------------------------------------------

export async function compare(numbers) {
  open = { compare: numbers };
  const chosen = numbers.slice(0, 6), list = chosen.map((number) => S.rows.get(number)).filter(Boolean);
  let found = {};
  try { found = await ask("curves", { trials: chosen.join(","), ...(S.search.several ? { metric: objective().name } : {}) }); } catch (error) { say(error.message); }
  if (open?.compare !== numbers) return;
  const panel = shell(`Comparison of ${plural(list.length, "trial")}`, "wide-panel");
  const host = el("div");
  panel.append(el("h3", {}, `Curves of ${objective().name}`), el("p", { class: "hint" }, ...list.flatMap((row, place) => [el("i", { class: `dot c${[0, 1, 2, 4, 5, 3][place]}` }), `trial ${row[0]}   `])), host);
  const lines = list.map((row, place) => [found[row[0]] ?? [[], []], ["blue", "amber", "green", "red", "grey", "ink"][place], `trial ${row[0]}`]);
  if (lines.some(([[xs]]) => xs.length)) linePlot(host, lines, 260, (name) => name);
  else host.append(el("p", { class: "empty" }, "None of them has reported epochs."));
  const differs = (values) => new Set(values.map(show)).size > 1;
  const line = (name, values, same = false) => el("tr", { class: !same && differs(values) ? "differs" : "" }, el("td", { class: "muted" }, show(name)), ...values.map((value) => el("td", {}, show(value))));
  panel.append(el("h3", {}, "Side by side"), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Side by side" }, el("table", { class: "list" },
    el("thead", {}, el("tr", {}, el("td", {}, ""), ...list.map((row) => el("th", {}, el("button", { class: "link", type: "button", on: { click: () => showTrial(row[0]) } }, `Trial ${row[0]}`))))),
    el("tbody", {}, line("status", list.map(statusOf), true), ...S.search.objectives.map((each, place) => line(each.name, list.map((row) => num(S.search.several ? row[S.OBJ + place] : get(row, "score"))), true)),
      line("epochs", list.map((row) => get(row, "epochs")), true), line("time", list.map((row) => span(get(row, "seconds"))), true),
      ...hps().map((entry, place) => line(entry.name, list.map((row) => valueOf(row, place))))))),
  el("p", { class: "hint" }, "Shaded lines differ."));
  panel.querySelector("h2").focus();
}
