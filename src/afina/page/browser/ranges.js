// From which ranges new trials are drawn: the form that changes them, and the sentences about it.
import { act, hps, S } from "./state.js";
import { el, num, say, show } from "./dom.js";
import { shell } from "./trial.js";

export const asked = () => S.live.asked?.ranges ?? {};

// "rate from 0.001 to 0.01", for each range that somebody has asked for.
export const inWords = () => Object.entries(asked()).map(([name, wanted]) => (wanted.values
  ? `${show(name)} among ${wanted.values.map(show).join(", ")}`
  : `${show(name)}${wanted.low !== undefined ? ` from ${num(wanted.low)}` : ""}${wanted.high !== undefined ? ` up to ${num(wanted.high)}` : ""}`));

export async function askRange(body) {
  try { say(await act({ do: "range", ...body })); } catch (error) { say(error.message); }
}

export function changeRanges() {
  const panel = shell("Where new trials are drawn", "form-panel"), why = S.live.cannot?.ranges;
  panel.append(el("p", { class: "muted" }, why ? `The ranges of this search cannot be changed: ${why}.` : "Finished trials stay. The range of the script is the widest. Leave a field empty for the script's own bound."));
  if (!why) for (const entry of hps().filter((each) => each.varies)) panel.append(form(entry));
  panel.querySelector("h2").focus();
}

function form(entry) {
  const now = asked()[entry.name] ?? {}, name = show(entry.name), fields = entry.choices ? boxes(entry, now) : ends(entry, now, name);
  const whole = el("button", { class: "quiet", type: "button", on: { click: async () => { await askRange({ name: entry.name }); fields.reset(); } } }, "Whole range");
  return el("form", { class: "change", on: { submit: (event) => { event.preventDefault(); askRange({ name: entry.name, ...fields.read() }); } } },
    el("fieldset", {}, el("legend", {}, name), ...fields.nodes, el("button", { class: "quiet", type: "submit", "aria-label": `Apply the range of ${name}` }, "Apply"), whole));
}

function ends(entry, now, name) {
  const field = (end, bound) => el("input", { type: "text", inputmode: "decimal", class: "short", value: now[end] === undefined ? "" : String(now[end]), placeholder: num(entry[end]), "aria-label": `${bound} value of ${name}` });
  const low = field("low", "Lowest"), high = field("high", "Highest");
  return { nodes: [low, el("span", { class: "hint" }, "to"), high], read: () => ({ low: low.value.trim(), high: high.value.trim() }), reset: () => { low.value = high.value = ""; } };
}

function boxes(entry, now) {
  const kept = now.values ? new Set(now.values.map(show)) : null;
  const all = entry.choices.map((value) => [value, el("input", { type: "checkbox", checked: !kept || kept.has(show(value)) })]);
  return { nodes: all.map(([value, box]) => el("label", {}, box, ` ${show(value)}`)), read: () => ({ values: all.filter(([, box]) => box.checked).map(([value]) => value) }), reset: () => { for (const [, box] of all) box.checked = true; } };
}
