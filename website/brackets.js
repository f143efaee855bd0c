// The table of Hyperband's brackets for any max_epochs and factor, on the page that explains them.
// Without JavaScript the page shows its printed tables. tests/services/test_brackets.py compares
// the figures with those of afina.search.fidelity.brackets.plan.

const WORDS = {
  en: {
    head: ["bracket", "trials → until epoch", "trials in all", "epochs in all"],
    sum: (brackets, trials, epochs) =>
      `${brackets} ${brackets === 1 ? "bracket" : "brackets"}, ${trials} trials, ${epochs} epochs in all.`,
    wrong: "max_epochs must be a whole number from 1 to 10000, and factor one from 2 to 100.",
  },
  es: {
    head: ["grupo", "ensayos → hasta la época", "ensayos en total", "épocas en total"],
    sum: (brackets, trials, epochs) =>
      `${brackets} ${brackets === 1 ? "grupo" : "grupos"}, ${trials} ensayos y ${epochs} épocas en total.`,
    wrong: "max_epochs debe ser un entero de 1 a 10000, y factor, uno de 2 a 100.",
  },
};

// All numbers are whole and below 2^53, so nothing is rounded but what the rule rounds up.
function plan(maxEpochs, factor) {
  let halvings = 0;
  while (factor ** (halvings + 1) <= maxEpochs) halvings += 1;
  let weight = 1;
  while (factor ** (weight - 1) < maxEpochs) weight += 1;
  const brackets = [];
  for (let number = halvings; number >= 0; number -= 1) {
    const rungs = [];
    let trials = 0;
    let epochs = 0;
    let start = 0;
    for (let index = 0; index <= number; index += 1) {
      const left = factor ** (number - index);
      const end = Math.ceil(maxEpochs / left);
      const size = Math.ceil((weight * left) / (number + 1));
      rungs.push([size, end]);
      trials += size;
      epochs += size * (end - start);
      start = end;
    }
    brackets.push({ number, rungs, trials, epochs });
  }
  return brackets;
}

function made(name, parent, text) {
  const element = parent.appendChild(document.createElement(name));
  if (text !== undefined) element.textContent = text;
  return element;
}

function input(parent, name, value, least, most) {
  const label = made("label", parent);
  made("code", label, name);
  const field = made("input", label);
  Object.assign(field, { type: "number", value, min: least, max: most, step: 1 });
  field.style.cssText =
    "width:6em;margin:0 1.5em 0 .5em;padding:.2em .4em;font:inherit;color:inherit;" +
    "background:transparent;border:1px solid currentColor;border-radius:.2em";
  return field;
}

function show(place) {
  const words = WORDS[document.documentElement.lang] || WORDS.en;
  const line = made("p", place);
  const maxEpochs = input(line, "max_epochs", 20, 1, 10000);
  const factor = input(line, "factor", 3, 2, 100);
  const said = made("p", place);
  said.setAttribute("aria-live", "polite");
  const table = made("table", place);
  const draw = () => {
    table.replaceChildren();
    table.hidden = !(maxEpochs.value && maxEpochs.checkValidity() && factor.value && factor.checkValidity());
    if (table.hidden) {
      said.textContent = words.wrong;
      return;
    }
    const brackets = plan(Number(maxEpochs.value), Number(factor.value));
    const sum = (key) => brackets.reduce((total, bracket) => total + bracket[key], 0);
    said.textContent = words.sum(brackets.length, sum("trials"), sum("epochs"));
    const head = made("tr", made("thead", table));
    words.head.forEach((name) => made("th", head, name));
    const body = made("tbody", table);
    for (const bracket of brackets) {
      const row = made("tr", body);
      const steps = bracket.rungs.map(([size, end]) => `${size} → ${end}`).join(", ");
      [bracket.number, steps, bracket.trials, bracket.epochs].forEach((cell) => made("td", row, cell));
    }
  };
  maxEpochs.addEventListener("input", draw);
  factor.addEventListener("input", draw);
  draw();
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".brackets").forEach(show);
});
