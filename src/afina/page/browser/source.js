// Where the data come from: a server that is asked, or, in a report, the file itself.
const inside = document.getElementById("snapshot");
export const kept = inside ? JSON.parse(inside.textContent) : null;

export function linked(path, query) {
  return `/api/${path}?${new URLSearchParams(query)}`;
}

export async function fetched(path, query) {
  if (kept) return recalled(path, query);
  const answer = await fetch(linked(path, query));
  if (!answer.ok) {
    let said = `The server answered ${answer.status}.`;
    try { said = (await answer.json()).error ?? said; } catch { /* no JSON */ }
    throw new Error(said);
  }
  return answer.json();
}

export async function sent(body, query) {
  const answer = await fetch(linked("actions", query), {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(found.error ?? `The server answered ${answer.status}.`);
  return found.said;
}

// What is new, from now on; a report knows everything already. Returns how to stop listening.
export function followed(query, { opened, news, lost }) {
  if (kept) { opened(); return () => {}; }
  const source = new EventSource(linked("events", query));
  source.onopen = opened;
  source.onmessage = (event) => news(JSON.parse(event.data));
  source.onerror = lost;
  return () => source.close();
}

// -- a report --------------------------------------------------------------------------------

function recalled(path, query) {
  if (path.startsWith("trial/")) return trial(Number(path.slice(6)));
  if (path === "curves") return curves(query);
  if (path in kept) return kept[path];
  throw new Error("This report does not have it.");
}

function curves({ trials, metric }) {
  const name = metric ?? kept.state.search.objectives[0].name, numbers = trials.split(",").filter((number) => number in kept.trials);
  return Object.fromEntries(numbers.map((number) => [number, kept.trials[number].curves[name] ?? [[], []]]));
}

// Of a trial whose details were left out, the table knows the values and the score.
function trial(number) {
  const found = kept.trials[number];
  if (found) return found;
  const { search, rows } = kept.state, row = rows.find((each) => each[0] === number);
  if (!row) throw new Error("There is no such trial.");
  const get = (name) => row[search.columns.indexOf(name)], first = search.columns.length + (search.several ? search.objectives.length : 0);
  const values = search.hyperparameters.map((entry, place) => [entry.name, row[first + place]]).filter((pair) => pair[1] !== null);
  const failure = get("kind") === null ? null : { kind: get("kind"), message: get("reason") ?? "" };
  return { ...kept.blank, number, status: get("status"), values, line: [number], seconds: [["all", get("seconds")]], failure, left_out: true };
}

// All trials as CSV, as a link to save; a server has its own.
export function saved() {
  const { search, rows } = kept.state, names = [...search.columns, ...(search.several ? search.objectives.map((each) => each.name) : []), ...search.hyperparameters.map((each) => `values.${each.name}`)];
  const cell = (value) => { const text = value === null || value === undefined ? "" : String(value); return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };
  const lines = [names, ...rows].map((row) => row.map(cell).join(","));
  return URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }));
}
