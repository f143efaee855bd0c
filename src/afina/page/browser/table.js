// All trials as a table: only the rows in sight are in the page, so that 10,000 scroll smoothly.
import { address, changed, get, hps, objective, rows, S, statusOf, valueOf, children } from "./state.js";
import { card, choice, el, plural, say, show, span } from "./dom.js";
import { compare, propose, showTrial } from "./trial.js";
import { failures } from "./setup.js";
import { kept, saved } from "./source.js";
import { isPrinting } from "./plots.js";

const HIGH = 33, MOST_PRINTED = 60;

export function trials(section) {
  const box = card("Trials");
  let sort = "number", down = true, text = "", status = "", parts = true, hidden = new Set(), list = [];
  const allowed = document.body.dataset.actions === "yes";
  const search = el("input", { type: "search", placeholder: "Filter: text, or units > 32", "aria-label": "Filter", on: { input: () => { text = search.value; draw(); } } });
  const states = choice("Status", [["", "All states"], ["completed", "completed"], ["running", "running"], ["waiting", "waiting"], ["paused", "paused"], ["queued", "queued"], ["failed", "failed"], ["lost", "lost"]], "", (value) => { status = value; draw(); });
  const one = el("label", { class: "hint", title: "A training that goes on in a later trial is hidden" }, el("input", { type: "checkbox", on: { change: (event) => { parts = !event.target.checked; draw(); } } }), " one row a configuration");
  const menu = el("div", { hidden: true });
  const columns = el("span", { class: "columns" }, el("button", { class: "quiet", type: "button", "aria-expanded": "false", on: { click: (event) => { menu.hidden = !menu.hidden; event.currentTarget.setAttribute("aria-expanded", String(!menu.hidden)); } } }, "Columns"), menu);
  const csv = el("a", { class: "quiet", href: "#trials", download: "trials.csv", on: kept ? { click: () => { csv.href = saved(); } } : {} }, "CSV");
  const side = el("button", { class: "quiet", type: "button", disabled: true, on: { click: () => compare([...S.chosen]) } }, "Compare");
  const brush = el("button", { class: "quiet", type: "button", hidden: true, on: { click: () => { S.brushed = null; changed(); } } }, "Clear the brush");
  const add = allowed ? el("button", { class: "quiet", type: "button", on: { click: () => propose() } }, "Try a configuration") : null;
  box.head.lastChild.append(search, states, one, columns, csv, side, brush, ...(add ? [add] : []));
  const thead = el("thead"), tbody = el("tbody"), frame = el("div", { class: "grid-box", tabindex: "0", role: "region", "aria-label": "All trials", on: { scroll: () => requestAnimationFrame(scrolled) } }, el("table", {}, thead, tbody));
  box.body.append(frame);
  section.append(box.node);
  const drawFailures = failures(section);
  let columnKey = "";

  const all = () => [
    { key: "number", name: "Trial", read: (row) => row[0], right: true },
    { key: "status", name: "Status", read: statusOf, cell: (row) => el("span", { class: `state ${statusOf(row)}` }, statusOf(row)) },
    ...(S.search?.several ? S.search.objectives.map((each, place) => ({ key: `o${place}`, name: each.name, read: (row) => row[S.OBJ + place], right: true })) : [{ key: "score", name: objective().name, read: (row) => get(row, "score"), right: true }]),
    { key: "epochs", name: "Epochs", read: (row) => get(row, "epochs"), right: true },
    { key: "seconds", name: "Time", read: (row) => get(row, "seconds"), text: span, right: true },
    ...(rows().some((row) => get(row, "bracket") !== null) ? [{ key: "bracket", name: "Bracket", read: (row) => get(row, "bracket"), right: true }, { key: "rung", name: "Rung", read: (row) => get(row, "rung"), right: true }] : []),
    ...hps().map((entry, place) => ({ key: `h${place}`, name: entry.name, read: (row) => valueOf(row, place), right: entry.low !== undefined, off: !entry.varies })),
    { key: "reason", name: "Reason", read: (row) => get(row, "reason") },
    { key: "note", name: "Note", read: (row) => S.live.remarks?.[row[0]] ?? null },
  ];
  const shown = () => all().filter((each) => !hidden.has(each.key));

  function heads() {
    const key = JSON.stringify([all().map((each) => each.name), [...hidden], sort, down]);
    if (key === columnKey) return;
    if (columnKey === "") for (const each of all()) if (each.off) hidden.add(each.key);
    columnKey = key;
    thead.replaceChildren(el("tr", {}, el("th", { class: "check" }, el("span", { class: "unseen" }, "Choose")), ...shown().map((each) => el("th", { class: each.right ? "n" : "", scope: "col", "aria-sort": sort === each.key ? (down ? "descending" : "ascending") : "none" },
      el("button", { type: "button", on: { click: () => { if (sort === each.key) down = !down; else { sort = each.key; down = each.key === "number"; } draw(); } } }, show(each.name), sort === each.key ? (down ? " ↓" : " ↑") : "")))));
    menu.replaceChildren(...all().map((each) => el("label", {}, el("input", { type: "checkbox", checked: !hidden.has(each.key), on: { change: (event) => { if (event.target.checked) hidden.delete(each.key); else hidden.add(each.key); draw(); } } }), ` ${show(each.name)}`)));
  }

  // "units > 32" compares a column; any other word must stand somewhere in the row.
  function test() {
    const tests = [], known = all();
    let rest = text;
    for (const match of text.matchAll(/(\S+)\s*(<=|>=|!=|<|>|=)\s*(\S+)/g)) {
      const column = known.find((each) => each.name.toLowerCase() === match[1].toLowerCase());
      if (!column) continue;
      rest = rest.replace(match[0], " ");
      const number = Number(match[3]), wanted = match[3].toLowerCase();
      tests.push((row) => {
        const value = column.read(row);
        if (value === null || value === undefined) return false;
        const same = typeof value === "number" && !Number.isNaN(number) ? value === number : show(value).toLowerCase() === wanted;
        return { "=": same, "!=": !same, "<": value < number, ">": value > number, "<=": value <= number, ">=": value >= number }[match[2]];
      });
    }
    for (const word of rest.toLowerCase().split(/\s+/).filter(Boolean)) tests.push((row) => known.some((each) => show(each.read(row)).toLowerCase().includes(word)));
    return (row) => tests.every((each) => each(row));
  }

  function draw() {
    heads();
    if (!kept) csv.href = address("trials.csv");
    drawFailures();
    brush.hidden = !S.brushed;
    const keep = test(), column = all().find((each) => each.key === sort) ?? all()[0];
    list = rows().filter((row) => (!status || statusOf(row) === status) && (parts || !(children().get(row[0]) ?? []).length) && (!S.brushed || S.brushed.has(row[0])) && keep(row));
    const sign = down ? -1 : 1;
    list.sort((a, b) => {
      const x = column.read(a), y = column.read(b);
      if (x === y) return a[0] - b[0];
      if (x === null || x === undefined) return 1;
      if (y === null || y === undefined) return -1;
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x) < String(y) ? -1 : 1);
    });
    box.hint(list.length === S.rows.size ? plural(list.length, "trial") : `${list.length} of ${plural(S.rows.size, "trial")}${S.brushed ? ", chosen by brushing" : ""}`);
    window_();
  }

  // Rows are made anew only where the last ones made do not fill the window.
  let made = [0, 0];
  function scrolled() {
    const top = Math.floor(frame.scrollTop / HIGH), end = Math.min(list.length, top + Math.ceil(frame.clientHeight / HIGH) + 1);
    if (top < made[0] || end > made[1]) window_();
  }

  function window_() {
    const paper = isPrinting(), first = paper ? 0 : Math.max(0, Math.floor(frame.scrollTop / HIGH) - 10), count = paper ? MOST_PRINTED : Math.ceil(Math.max(frame.clientHeight, 900) / HIGH) + 20;
    made = [first, first + count];
    const some = list.slice(first, first + count), now = shown(), focused = document.activeElement?.closest?.("tr[data-n]")?.dataset.n;
    const pad = (lines) => el("tr", { class: "pad", "aria-hidden": "true" }, el("td", { colspan: now.length + 1, style: { height: `${lines * HIGH}px` } }));
    tbody.replaceChildren(pad(first), ...some.map((row) => line(row, now)), pad(paper ? 0 : Math.max(0, list.length - first - some.length)));
    if (paper && list.length > count) box.hint(`the first ${count} of ${plural(list.length, "trial")}`);
    if (!list.length) tbody.replaceChildren(el("tr", {}, el("td", { colspan: now.length + 1 }, el("p", { class: "empty" }, S.rows.size ? "No trial matches." : "No trial has begun."))));
    if (focused) tbody.querySelector(`tr[data-n="${focused}"] button`)?.focus({ preventScroll: true });
    side.disabled = S.chosen.size < 2;
    side.textContent = S.chosen.size ? `Compare ${S.chosen.size}` : "Compare";
  }

  function line(row, now) {
    const number = row[0];
    const check = el("input", { type: "checkbox", "aria-label": `Choose trial ${number}`, checked: S.chosen.has(number), on: { click: (event) => event.stopPropagation(), change: (event) => {
      if (!event.target.checked) S.chosen.delete(number);
      else if (S.chosen.size >= 6) { event.target.checked = false; say("At most 6 trials can be compared."); } else S.chosen.add(number);
      side.disabled = S.chosen.size < 2; side.textContent = S.chosen.size ? `Compare ${S.chosen.size}` : "Compare";
    } } });
    return el("tr", { data: { n: number }, on: { click: () => showTrial(number) } }, el("td", { on: { click: (event) => event.stopPropagation() } }, check), ...now.map((each) => {
      const value = each.read(row), whole = show(value);
      const inside = each.key === "number" ? el("button", { class: "link", type: "button", on: { click: (event) => { event.stopPropagation(); showTrial(number); } } }, String(number)) : each.cell ? each.cell(row) : each.text && value !== null ? each.text(value) : whole;
      return el("td", { class: each.right ? "n" : "", title: whole.length > 24 ? whole : null }, inside);
    }));
  }
  return draw;
}
