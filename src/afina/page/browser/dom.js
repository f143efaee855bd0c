// Elements and texts. Nothing from a search is ever read as HTML: texts are set as text.
const SVG = "http://www.w3.org/2000/svg";

export function el(tag, given = {}, ...children) {
  const node = document.createElement(tag);
  fill(node, given);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false).map(plain));
  return node;
}

// Names may hold characters that turn the text after them around: they are shown as one mark.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
export const plain = (text) => (typeof text === "string" ? text.replace(UNSEEN, "\ufffd") : text);
export const short = (text, most) => (text && text.length > most ? `${text.slice(0, most - 1)}…` : text);

export function svg(tag, given = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  fill(node, given);
  node.append(...children);
  return node;
}

function fill(node, given) {
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, call] of Object.entries(value)) node.addEventListener(event, call);
    else if (name === "style") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
}

export const byId = (id) => document.getElementById(id);

// Asked for thousands of times a drawing, and slow to compute: kept until the theme changes.
const DARK = matchMedia("(prefers-color-scheme: dark)"), colours = new Map();
let theme = null;
export function colour(name) {
  const now = document.documentElement.dataset.theme ?? DARK.matches;
  if (now !== theme) { theme = now; colours.clear(); }
  if (!colours.has(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return colours.get(name);
}

export function num(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return show(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(3).replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(4)));
}

export function show(value) {
  if (value === null || value === undefined) return "–";
  if (value === true) return "True";
  if (value === false) return "False";
  return typeof value === "number" ? num(value) : String(value).replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds > 0 && seconds < 0.1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  return `${(seconds / 86400).toFixed(1)} days`;
}

export const many = (count) => Number(count).toLocaleString("en");
export const plural = (count, word) => `${many(count)} ${word}${count === 1 ? "" : "s"}`;

export function tip(event, text) {
  const box = byId("tip");
  box.hidden = !text;
  if (!text) return;
  box.textContent = plain(text);
  const wide = box.offsetWidth, high = box.offsetHeight;
  box.style.left = `${Math.max(6, Math.min(event.clientX + 14, innerWidth - wide - 8))}px`;
  box.style.top = `${event.clientY + 18 + high > innerHeight ? event.clientY - high - 12 : event.clientY + 18}px`;
}

let saidTimer = 0;
export function say(text) {
  byId("said").textContent = plain(text);
  clearTimeout(saidTimer);
  saidTimer = setTimeout(() => { byId("said").textContent = ""; }, 6000);
}

export function card(title, kind = "", ...tools) {
  const body = el("div");
  const head = el("header", {}, el("h2", {}, title), el("span", { class: "tools" }, ...tools));
  const node = el("div", { class: `card ${kind}` }, head, body);
  return { node, head, body, hint: (text) => { hintOf(head).textContent = plain(text); } };
}

function hintOf(head) {
  let hint = head.querySelector(":scope > .hint");
  if (!hint) { hint = el("span", { class: "hint" }); head.firstChild.after(hint); }
  return hint;
}

export function choice(label, options, chosen, change) {
  const select = el("select", { "aria-label": label, on: { change: () => change(select.value) } });
  for (const [value, text] of options) select.append(el("option", { value, selected: value === chosen }, text));
  return select;
}
