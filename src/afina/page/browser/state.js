// What the page knows of the search: everything once, then what is new, as it arrives.
import { fetched, followed, linked, sent } from "./source.js";

export const S = {
  search: null, rows: new Map(), live: {}, version: -1, generation: "", trouble: null, length: "auto",
  connected: false, aim: 0, chosen: new Set(), name: null, brushed: null, C: {}, OFF: 0, OBJ: 0,
};
const listeners = new Set();
export const subscribe = (call) => listeners.add(call);
let stop = null, pending = false, memo = new Map();

// The frame of the page lends its views what opens another one.
export const frame = { go: () => {} };

const asked = (given = {}) => (S.name === null ? given : { ...given, search: S.name });
export const address = (path) => linked(path, asked());
export const ask = (path, given) => fetched(path, asked(given));
export const act = (body) => sent(body, asked());

export async function open(name) {
  stop?.();
  S.name = name;
  S.chosen.clear(); S.brushed = null; S.length = "auto";
  take(await ask("state"));
  stop = followed(asked({ generation: S.generation, version: S.version }), {
    opened: () => { S.connected = true; changed(); },
    news: (news) => { S.connected = true; take(news); },
    lost: () => { S.connected = false; changed(); },
  });
}

function take(news) {
  if (news.search) {
    S.rows = new Map();
    S.search = news.search;
    S.C = Object.fromEntries((news.search.columns ?? []).map((name, place) => [name, place]));
    S.OBJ = (news.search.columns ?? []).length;
    S.OFF = S.OBJ + (news.search.several ? news.search.objectives.length : 0);
    if (S.aim >= (news.search.objectives ?? []).length) S.aim = 0;
  }
  for (const row of news.rows ?? []) S.rows.set(row[0], row);
  if (news.live) S.live = news.live;
  if ("trouble" in news) S.trouble = news.trouble;
  S.version = news.version; S.generation = news.generation;
  changed();
}

export function changed() {
  memo = new Map();
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => { pending = false; for (const call of listeners) call(); });
}

const once = (key, make) => { if (!memo.has(key)) memo.set(key, make()); return memo.get(key); };

export const get = (row, name) => row[S.C[name]];
export const hps = () => S.search?.hyperparameters ?? [];
export const objective = () => S.search?.objectives?.[S.aim] ?? { name: "score", direction: "min" };
export const scoreOf = (row) => (S.search?.several ? row[S.OBJ + S.aim] : row[S.C.score]);
export const valueOf = (row, place) => row[S.OFF + place];
export const better = (a, b) => (objective().direction === "max" ? a > b : a < b);
export const isAlive = () => S.live.state === "running";
export const statusOf = (row) => {
  const status = get(row, "status");
  if (status === "waiting" && (S.live.asked?.pause ?? []).includes(row[0])) return "paused";
  if (status === "waiting" && (S.live.asked?.queue ?? []).includes(row[0])) return "queued";
  if (status !== "running") return status;
  return (S.live.running ?? []).some((each) => each.number === row[0] && each.lost) ? "lost" : status;
};

export const rows = () => once("rows", () => [...S.rows.values()].sort((a, b) => a[0] - b[0]));
export const finished = () => once("finished", () => rows().filter((row) => get(row, "ended") !== null).sort((a, b) => get(a, "ended") - get(b, "ended")));
export const scored = () => once(`scored${S.aim}`, () => rows().filter((row) => get(row, "status") === "completed" && scoreOf(row) !== null && scoreOf(row) !== undefined));
export const ranked = () => once(`ranked${S.aim}`, () => [...scored()].sort((a, b) => (scoreOf(a) === scoreOf(b) ? a[0] - b[0] : better(scoreOf(a), scoreOf(b)) ? -1 : 1)));
export const best = () => ranked()[0] ?? null;
export const children = () => once("children", () => {
  const found = new Map();
  for (const row of rows()) {
    const parent = get(row, "parent");
    if (parent !== null) found.set(parent, [...(found.get(parent) ?? []), row[0]]);
  }
  return found;
});
export const fronts = () => new Set(S.live.front ?? []);

// Continued trainings are one configuration: its longest part stands for it.
export const whole = () => once(`whole${S.aim}`, () => ranked().filter((row) => !(children().get(row[0]) ?? []).some((child) => scoreOf(S.rows.get(child)) !== null && get(S.rows.get(child), "status") === "completed" && !better(scoreOf(row), scoreOf(S.rows.get(child))))));

// Scores after one epoch and after thirty are no equals. In a search with rungs, figures about
// values show the results of one length: the longest that enough trials have reached.
const ENOUGH = 10;
export const lengths = () => once("lengths", () => {
  const found = new Map();
  for (const row of rows()) if (get(row, "bracket") !== null && get(row, "status") === "completed") found.set(get(row, "end"), (found.get(get(row, "end")) ?? 0) + 1);
  return new Map([...found].sort((a, b) => b[0] - a[0]));
});
export function length() {
  if (S.length !== "auto") return S.length === "all" ? null : Number(S.length);
  for (const [end, count] of lengths()) if (count >= ENOUGH) return end;
  return null;
}
export const peers = () => once(`peers${S.aim} ${S.length}`, () => { const end = length(); return end === null ? ranked() : ranked().filter((row) => get(row, "end") === end); });
export const among = () => { const end = length(); return end === null ? "" : ` after ${end} epoch${end === 1 ? "" : "s"}`; };

// A range that shows what matters: far outliers on the bad side are left at the edge.
export function robust(values, direction) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (!sorted.length) return [0, 1];
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  let low = sorted[0], high = sorted[sorted.length - 1];
  if (sorted.length >= 10) {
    const mid = at(0.9) - at(0.1) || high - low;
    if (direction === "min") high = Math.min(high, at(0.9) + 1.2 * mid);
    else low = Math.max(low, at(0.1) - 1.2 * mid);
  }
  const pad = (high - low) * 0.06 || Math.abs(high) * 0.05 || 0.5;
  return [low - pad, high + pad];
}

// Where the first third and some of the rest are kept, of a list sorted from best to worst.
export function sample(list, most) {
  if (list.length <= most) return list;
  const head = Math.floor(most / 3), kept = list.slice(0, head), step = (list.length - head) / (most - head);
  for (let place = 0; place < most - head; place++) kept.push(list[Math.floor(head + place * step)]);
  return kept;
}
