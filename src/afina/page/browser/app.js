// The page's frame: what stands at the top, the views, and which of them is drawn.
import { act, best, changed, frame, get, length, lengths, objective, open, S, scoreOf, statusOf, subscribe } from "./state.js";
import { byId, el, many, num, plain, plural, say, show, span } from "./dom.js";
import { refit, repaint, setPrinting } from "./plots.js";
import { overview } from "./overview.js";
import { trials } from "./table.js";
import { rungs } from "./rungs.js";
import { space } from "./space.js";
import { time } from "./time.js";
import { setup } from "./setup.js";
import { kept } from "./source.js";
import { advice } from "./advice.js";
import { showTrial, refreshPanel } from "./trial.js";

const VIEWS = { overview, trials, rungs, space, time, setup, advice };
const made = {};
let view = "overview";

export const allowed = document.body.dataset.actions === "yes";

function head() {
  const { search, live } = S;
  byId("name").textContent = plain(search?.name) ?? (kept ? "The search had not begun" : "Waiting for the search to begin");
  document.title = search?.name ? `${plain(search.name)} · Afina` : "Afina";
  const state = byId("state");
  state.className = `chip ${live.state ?? ""}`;
  const states = kept ? { running: "was still running", ended: "ended", idle: "not ended" } : { running: "running", ended: "ended", idle: "nobody runs it" };
  state.textContent = !S.connected ? "connecting" : states[live.state] ?? "not begun";
  state.title = live.reason ? `Why: ${live.reason}.` : "";
  const aims = (search?.objectives ?? []).map((each) => `${each.direction === "max" ? "maximize" : "minimize"} ${each.name}`);
  byId("what").textContent = search?.algorithm ? plain(`${search.algorithm} · ${aims.join(" · ")} · seed ${search.seed}`) : "";
  byId("trouble").hidden = !S.trouble;
  byId("trouble").textContent = S.trouble ?? "";
  const refused = S.live.asked?.refused ?? [];
  byId("answer").hidden = !refused.length;
  byId("answer").replaceChildren(...refused.map((text) => el("span", {}, show(text), " ")), allowed ? el("button", { class: "link", type: "button", on: { click: async () => { try { await act({ do: "dismiss" }); } catch (error) { say(error.message); } } } }, "Dismiss") : "");
  byId("stop").hidden = !(allowed && live.state === "running");
  const several = Boolean(search?.several);
  byId("aim-label").hidden = !several;
  if (several && byId("aim").options.length !== search.objectives.length) {
    byId("aim").replaceChildren(...search.objectives.map((each, place) => el("option", { value: place }, each.name)));
  }
}

// Only where trials train for different lengths, in the views that compare their scores.
let lengthKey = "";
function pickLength() {
  const known = [...lengths()];
  byId("length-label").hidden = known.length < 2 || !["space", "time"].includes(view);
  const key = JSON.stringify([known, S.length, length()]);
  if (key === lengthKey) return;
  lengthKey = key;
  const chosen = length();
  byId("length").replaceChildren(...known.map(([end, count]) => el("option", { value: end, selected: end === chosen }, `${plural(end, "epoch")}: ${plural(count, "trial")}`)), el("option", { value: "all", selected: chosen === null }, "all lengths"));
}

function fact(name, big, more, share, pick) {
  const value = el("div", { class: "big" }, ...[big].flat());
  return el("div", { class: "fact" }, el("div", { class: "name" }, name), value,
    share !== undefined ? el("div", { class: "bar" }, el("i", { style: { width: `${Math.min(100, 100 * share)}%` } })) : null,
    more ? el("div", { class: "more" }, pick ? el("button", { class: "link", type: "button", on: { click: pick } }, more) : more) : null);
}

function facts() {
  const { live } = S, counts = live.counts ?? {}, top = best();
  const paused = (live.asked?.pause ?? []).filter((number) => S.rows.has(number) && statusOf(S.rows.get(number)) === "paused").length, queued = live.asked?.queue?.length ?? 0;
  const done = (counts.completed ?? 0) + (counts.failed ?? 0);
  const held = (live.running ?? []).filter((each) => !each.lost).length;
  const limit = live.limits ?? {};
  const ends = live.left !== null && live.left !== undefined ? span(live.left) : live.state === "ended" ? "done" : "–";
  const why = live.reason ? live.reason : live.state !== "running" ? (kept ? "when this was written" : "no process works on it") : limit.time_budget ? `of ${span(limit.time_budget)}` : limit.max_total_epochs ? `of ${many(limit.max_total_epochs)} epochs` : live.total ? "estimated from recent trials" : "no limit is known";
  byId("facts").replaceChildren(
    fact(`Best ${objective().name}`, top ? num(scoreOf(top)) : "–", top ? `trial ${top[0]}${get(top, "epochs") ? ` · ${plural(get(top, "epochs"), "epoch")}` : ""}` : "no result yet", undefined, top && (() => showTrial(top[0]))),
    fact("Trials finished", [many(done), live.total ? el("small", {}, ` of ${many(live.total)}`) : ""], null, live.total ? done / live.total : undefined),
    fact("Running", String(held), workers(live.running ?? [])),
    fact("Failed", many(counts.failed ?? 0), paused ? `${paused} paused` : queued ? `${queued} in the queue` : counts.waiting ? `${counts.waiting} wait for a retry` : done ? `${Math.round((100 * (counts.failed ?? 0)) / done)} % of the finished` : ""),
    fact("Epochs trained", many(live.trained ?? 0), live.seconds ? `in ${span(live.seconds)} of training` : ""),
    fact("Time left", ends, why),
  );
}

function workers(running) {
  const owners = new Set(running.filter((each) => !each.lost && each.owner).map((each) => each.owner));
  return owners.size ? plural(owners.size, "worker") : "";
}

function draw() {
  head(); facts(); pickLength();
  const section = byId(view);
  if (!made[view]) made[view] = VIEWS[view](section);
  made[view]();
  refreshPanel();
}

export function go(name, move = true) {
  if (!VIEWS[name]) return;
  view = name;
  for (const each of Object.keys(VIEWS)) {
    byId(each).hidden = each !== name;
    const tab = byId(`tab-${each}`);
    tab.setAttribute("aria-selected", String(each === name));
    tab.tabIndex = each === name ? 0 : -1;
  }
  if (move) history.replaceState(null, "", `#${name}`);
  draw();
}

function wire() {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  tabs.forEach((tab, place) => {
    tab.addEventListener("click", () => go(tab.id.slice(4)));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const next = event.key === "Home" ? 0 : event.key === "End" ? tabs.length - 1 : step ? (place + step + tabs.length) % tabs.length : null;
      if (next === null) return;
      event.preventDefault(); tabs[next].focus(); go(tabs[next].id.slice(4));
    });
  });
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("afina-theme", root.dataset.theme); } catch { /* not allowed here */ }
    repaint(); changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { repaint(); changed(); });
  byId("aim").addEventListener("change", () => { S.aim = Number(byId("aim").value); changed(); });
  byId("length").addEventListener("change", () => { S.length = byId("length").value; S.brushed = null; changed(); });
  byId("stop").addEventListener("click", async () => {
    if (!confirm("Stop the search? No new trial begins. Running trials train to their end.")) return;
    try { say(await act({ do: "stop" })); } catch (error) { say(error.message); }
  });
  const names = JSON.parse(document.body.dataset.searches || "[]");
  if (names.length > 1) {
    byId("searches-label").hidden = false;
    byId("searches").append(...names.map((name) => el("option", { value: name }, name)));
    byId("searches").addEventListener("change", () => open(byId("searches").value).catch((error) => say(error.message)));
  }
  return names;
}

// On paper, all views stand below one another.
function print(on) {
  const root = document.documentElement;
  if (on) root.dataset.screen = root.dataset.theme ?? "";
  root.dataset.theme = on ? "light" : root.dataset.screen;
  if (!on && !root.dataset.screen) delete root.dataset.theme;
  setPrinting(on);
  document.body.classList.toggle("printing", on);
  if (on) for (const name of Object.keys(VIEWS)) {
    const section = byId(name);
    section.hidden = false;
    if (!made[name]) made[name] = VIEWS[name](section);
    made[name]();
  } else go(view, false);
  refit(); repaint();
  for (const box of document.querySelectorAll(".scroll, .grid-box")) {
    const inner = box.firstElementChild, wide = box.scrollWidth;
    if (inner) inner.style.zoom = on && wide > box.clientWidth ? box.clientWidth / wide : "";
  }
}
addEventListener("beforeprint", () => print(true));
addEventListener("afterprint", () => print(false));

frame.go = go;
const names = wire();
subscribe(draw);
const wanted = location.hash.slice(1);
open(names.length > 1 ? names[0] : null).then(() => go(VIEWS[wanted] ? wanted : "overview", false)).catch((error) => {
  byId("trouble").hidden = false; byId("trouble").textContent = error.message;
});
