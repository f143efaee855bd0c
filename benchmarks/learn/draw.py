"""Draws the pictures of the pages under "Learn", and writes their tables, from `results.json`.

    python benchmarks/learn/draw.py

The pictures go to `docs/images/learn`, in English and in Spanish. A table in a page stands between
`<!-- measured: depth -->` and `<!-- /measured -->`; what is between them is replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PICTURES = DOCS / "images" / "learn"
RESULTS = Path(__file__).with_name("results.json")
BLUE, ORANGE, GREY = "#2f6db3", "#d9701e", "#8a8a8a"
COLORS = [BLUE, ORANGE, "#3a8f4f", "#8a4fb0"]
EXPERIMENTS = (
    "depth", "width", "shape", "rate", "optimizer", "batch", "activation", "overfitting",
    "transfer", "rules",
)  # fmt: skip
MARK = re.compile(r"(<!-- measured: ([\w-]+) -->\n)(.*?)(<!-- /measured -->)", re.DOTALL)

SPANISH = {
    "validation accuracy": "exactitud de validación",
    "hidden layers": "capas ocultas",
    "units of the hidden layer": "unidades de la capa oculta",
    "learning rate": "tasa de aprendizaje",
    "batch size": "tamaño del lote",
    "loss": "pérdida",
    "accuracy": "exactitud",
    "loss of the range test": "pérdida en la prueba de rango",
    "training": "entrenamiento",
    "validation": "validación",
    "epoch": "época",
    "epochs": "épocas",
    "output": "salida",
    "input": "entrada",
    "bracket": "grupo (bracket)",
    "trials": "ensayos",
    "suggested": "sugerida",
    "result": "resultado",
    "finished trials": "ensayos terminados",
    "what the model expects": "lo que espera el modelo",
    "where it is unsure": "donde no está seguro",
    "worth trying": "cuánto merece la pena",
    "next trial": "siguiente ensayo",
    "layers kept frozen": "capas congeladas",
    "nothing transferred": "sin transferir nada",
    "best epoch": "mejor época",
    "Fashion-MNIST": "Fashion-MNIST",
    "Reuters": "Reuters",
}
NAMES = {"fashion-mnist": "Fashion-MNIST", "reuters": "Reuters"}
Say = Callable[[str], str]


def main() -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, draw in DRAWINGS.items():
        if name in EXPERIMENTS and name not in found:
            print(f"{name}: run.py has not measured it yet")
            continue
        for language, say in {"": str, ".es": lambda text: SPANISH[text]}.items():
            save(draw(found, say), PICTURES / f"{name}{language}.svg")
    for page in sorted(DOCS.rglob("*.md")):
        before = page.read_text(encoding="utf-8")
        after = with_tables(before, found)
        if after != before:
            page.write_text(after, encoding="utf-8")


def with_tables(page: str, found: Any) -> str:
    """The page with its measured tables as they should be; their first two lines are kept."""

    def table(match: re.Match[str]) -> str:
        if match[2] in EXPERIMENTS and match[2] not in found:
            return match[0]  # not measured yet
        head = "\n".join(match[3].splitlines()[:2])
        return f"{match[1]}{head}\n" + "\n".join(TABLES[match[2]](found)) + f"\n{match[4]}"

    return MARK.sub(table, page)


# -- tables ------------------------------------------------------------------------------------


def side_by_side(name: str) -> Callable[[Any], list[str]]:
    """One row a value, one column a data set; the best of a column is bold."""

    def rows(found: Any) -> list[str]:
        columns = list(found[name].values())
        columns = [column.get("grid", column) if name == "rate" else column for column in columns]
        best = [max(row["accuracy"] for row in column) for column in columns]
        lines = []
        for parts in zip(*columns, strict=True):
            cells = [
                figure(part, bold=part["accuracy"] == top)
                for part, top in zip(parts, best, strict=True)
            ]
            value = parts[0]["value"]
            shown = f"{value:g}" if isinstance(value, float) else value
            lines.append(f"| {shown} | " + " | ".join(cells) + " |")
        return lines

    return rows


def figure(row: Any, *, bold: bool = False) -> str:
    mark = "**" if bold else ""
    return f"{mark}{row['accuracy']:.3f}{mark} ± {row['spread']:.3f}"


def optimizers(found: Any) -> list[str]:
    lines = []
    for name, rows in found["optimizer"].items():
        best = max(rows, key=lambda row: row["accuracy"])
        near = [row["value"] for row in rows if row["accuracy"] > best["accuracy"] - 0.02]
        ordinary = next(row for row in rows if row["value"] == 1e-3)
        spread = f"{min(near):g} … {max(near):g}"
        lines.append(
            f"| {name} | {figure(best)} | {best['value']:g} | {spread} | "
            f"{ordinary['accuracy']:.3f} |"
        )
    return lines


RULES = ("minimum", "steep", "valley", "slide")


def rules(found: Any) -> list[str]:
    """One row a network: what each rule of the range test loses, and at which rate."""
    lines = []
    for row in found["rules"]:
        least = min(part["lost"] for part in row["rules"].values())
        cells = []
        for name in RULES:
            part = row["rules"][name]
            mark = "**" if part["lost"] == least else ""
            cells.append(f"{mark}{part['lost']:.3f}{mark} at {part['rate']:g}")
        lines.append(
            f"| {row['network']} | {row['best']:g} | {' | '.join(cells)} | {row['inside']} of 3 |"
        )
    means = [
        sum(row["rules"][name]["lost"] for row in found["rules"]) / len(found["rules"])
        for name in RULES
    ]
    every = sum(row["inside"] for row in found["rules"])
    shown = " | ".join(f"{mean:.3f}" for mean in means)
    return [*lines, f"| mean | | {shown} | {every} of {3 * len(lines)} |"]


def transfers(found: Any) -> list[str]:
    rows = found["transfer"]
    best = max(row["accuracy"] for row in rows)
    return [
        f"| {row['frozen'].replace('none', '-')} | {figure(row, bold=row['accuracy'] == best)} |"
        for row in rows
    ]


def brackets(max_epochs: int, factor: int) -> Callable[[Any], list[str]]:
    """One row a bracket, as Afina's code plans it."""

    def rows(_: Any) -> list[str]:
        from afina.search.fidelity.brackets import plan

        lines = []
        for bracket in plan(max_epochs, factor):
            steps = ", ".join(f"{rung.size} → {rung.end_epoch}" for rung in bracket.rungs)
            lines.append(f"| {bracket.number} | {steps} | {bracket.trials} | {bracket.epochs} |")
        return lines

    return rows


def sweeps(_: Any) -> list[str]:
    from afina.search.fidelity.brackets import plan

    lines = []
    for factor in (2, 3, 4):
        cells = []
        for epochs in (5, 10, 27, 50, 100):
            every = plan(epochs, factor)
            cells.append(
                f"{len(every)} / {every[0].sizes[0]} / {sum(each.epochs for each in every)}"
            )
        lines.append(f"| {factor} | " + " | ".join(cells) + " |")
    return lines


TABLES: dict[str, Callable[[Any], list[str]]] = {
    **{name: side_by_side(name) for name in ("depth", "width", "shape", "batch", "activation")},
    "optimizer": optimizers,
    "transfer": transfers,
    "rules": rules,
    "brackets-10": brackets(10, 3),
    "brackets-27": brackets(27, 3),
    "sweeps": sweeps,
}


# -- pictures ----------------------------------------------------------------------------------


def canvas(columns: int = 1, *, height: float = 3.1) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(
        {"svg.hashsalt": "afina", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
         "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}
    )  # fmt: skip
    return pyplot.subplots(1, columns, figsize=(3.7 * max(columns, 1.5), height), squeeze=False)


def save(drawn: Any, file: Path) -> None:
    drawn.tight_layout()
    drawn.savefig(file, metadata={"Date": None, "Creator": "benchmarks/learn/draw.py"})
    from matplotlib import pyplot

    pyplot.close(drawn)
    text = file.read_text(encoding="utf-8")
    file.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


def against(name: str, title: str, *, log: bool = False) -> Callable[[Any, Say], Any]:
    """The accuracy of each data set against the values that were tried."""

    def draw(found: Any, say: Say) -> Any:
        drawn, axes = canvas()
        [[ax]] = axes
        for color, (data, rows) in zip(COLORS, found[name].items(), strict=False):
            at = [row["value"] for row in rows]
            ax.errorbar(at, [row["accuracy"] for row in rows], [row["spread"] for row in rows],
                        marker="o", color=color, label=say(NAMES[data]), capsize=3)  # fmt: skip
        ticks(ax, at, log=log)
        ax.set(xlabel=say(title), ylabel=say("validation accuracy"))
        ax.legend()
        return drawn

    return draw


def ticks(ax: Any, at: list[Any], *, log: bool) -> None:
    from matplotlib import ticker

    if log:
        ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(ticker.FixedLocator(at))
    ax.xaxis.set_minor_locator(ticker.NullLocator())
    ax.xaxis.set_major_formatter(ticker.FixedFormatter([str(each) for each in at]))


def rate(found: Any, say: Say) -> Any:
    """The range test above the accuracy that each rate reached in whole trainings."""
    drawn, axes = canvas(2)
    for ax, (data, part) in zip(axes[0], found["rate"].items(), strict=True):
        rows = part["grid"]
        ax.errorbar([row["value"] for row in rows], [row["accuracy"] for row in rows],
                    [row["spread"] for row in rows], marker="o", color=BLUE, capsize=3)  # fmt: skip
        ax.set(xscale="log", xlabel=say("learning rate"), title=say(NAMES[data]), xlim=(7e-6, 1.5))
        ax.set_ylabel(say("validation accuracy"), color=BLUE)
        ax.axvspan(*part["bounds"], color=ORANGE, alpha=0.12)
        ax.axvline(part["suggestion"], color=ORANGE, linestyle=":")
        other = ax.twinx()
        other.plot(part["rates"], part["smoothed"], color=ORANGE)
        other.set_ylim(0, 1.6 * part["smoothed"][0])
        other.set_ylabel(say("loss of the range test"), color=ORANGE)
        other.grid(visible=False)
    return drawn


def optimizer(found: Any, say: Say) -> Any:
    drawn, axes = canvas()
    [[ax]] = axes
    for color, (name, rows) in zip(COLORS, found["optimizer"].items(), strict=True):
        ax.plot([row["value"] for row in rows], [row["accuracy"] for row in rows],
                marker="o", color=color, label=name)  # fmt: skip
    ax.set(xscale="log", xlabel=say("learning rate"), ylabel=say("validation accuracy"))
    ax.legend()
    return drawn


def activations(_: Any, say: Say) -> Any:
    drawn, axes = canvas(height=2.6)
    [[ax]] = axes
    x = np.linspace(-4, 4, 161)
    curves = {"relu": np.maximum(x, 0), "tanh": np.tanh(x), "sigmoid": 1 / (1 + np.exp(-x)),
              "linear": x}  # fmt: skip
    for color, (name, y) in zip(COLORS, curves.items(), strict=True):
        ax.plot(x, y, color=color, label=name)
    ax.set(xlabel=say("input"), ylabel=say("output"), ylim=(-1.5, 3))
    ax.legend()
    return drawn


def overfitting(found: Any, say: Say) -> Any:
    drawn, axes = canvas(2)
    told = found["overfitting"]
    best = int(np.argmin(told["val_loss"])) + 1
    for ax, (ours, theirs, title) in zip(
        axes[0],
        [("loss", "val_loss", "loss"), ("accuracy", "val_accuracy", "accuracy")],
        strict=True,
    ):
        epochs = range(1, len(told[ours]) + 1)
        ax.plot(epochs, told[ours], color=BLUE, label=say("training"))
        ax.plot(epochs, told[theirs], color=ORANGE, label=say("validation"))
        ax.axvline(best, color=GREY, linestyle=":", label=say("best epoch"))
        ax.set(xlabel=say("epoch"), ylabel=say(title))
        ax.legend()
    return drawn


def hyperband(_: Any, say: Say) -> Any:
    """Each bracket of 10 epochs and a factor of 3: trials as heights, epochs as widths."""
    from matplotlib.patches import Rectangle

    from afina.search.fidelity.brackets import plan

    every = plan(10, 3)
    drawn, axes = canvas(len(every), height=2.8)
    drawn.set_figwidth(8)
    tallest = max(bracket.sizes[0] for bracket in every)
    for ax, bracket in zip(axes[0], every, strict=True):
        for rung in bracket.rungs:
            width = rung.end_epoch - rung.start_epoch
            ax.add_patch(
                Rectangle((rung.start_epoch, 0), width, rung.size, color=COLORS[rung.index])
            )
            ax.text(rung.start_epoch + width / 2, rung.size + 0.25, str(rung.size), ha="center")
        ax.set(xlim=(0, 10), ylim=(0, tallest + 1.5), xlabel=say("epochs"),
               title=f"{say('bracket')} {bracket.number}", xticks=[0, 2, 4, 10])  # fmt: skip
    axes[0][0].set_ylabel(say("trials"))
    return drawn


def surrogate(_: Any, say: Say) -> Any:
    """Afina's own Gaussian process over one learning rate, and where it would look next."""
    from afina.surrogates.acquisition import LogExpectedImprovement
    from afina.surrogates.gaussian_process import GaussianProcess, Kernel

    tried = np.array([0.08, 0.3, 0.5, 0.93])[:, None]
    losses = np.array([0.9, -0.15, -0.55, 1.3])
    groups = np.zeros(1, dtype=int)
    process = GaussianProcess(Kernel(np.array([0.25]), 1e-3), tried, losses, groups)
    at = np.linspace(0, 1, 301)[:, None]
    mean, variance = process.predict(at)
    worth = np.exp(LogExpectedImprovement(process, losses.min()).value(at))
    rates = 10 ** (-5 + 5 * at[:, 0])
    drawn, axes = canvas(height=3.6)
    [[ax]] = axes
    sd = np.sqrt(variance)
    ax.fill_between(rates, mean - 2 * sd, mean + 2 * sd, color=BLUE, alpha=0.15,
                    label=say("where it is unsure"))  # fmt: skip
    ax.plot(rates, mean, color=BLUE, label=say("what the model expects"))
    ax.plot(10 ** (-5 + 5 * tried[:, 0]), losses, "o", color="black", label=say("finished trials"))
    low = ax.get_ylim()[0] - 1
    ax.fill_between(rates, low, low + 0.9 * worth / worth.max(), color=ORANGE, alpha=0.6,
                    label=say("worth trying"))  # fmt: skip
    ax.axvline(rates[worth.argmax()], color=ORANGE, linestyle=":", label=say("next trial"))
    ax.set(xscale="log", xlabel=say("learning rate"), ylabel=say("loss"), yticks=[])
    ax.legend(fontsize=7, loc="upper center", ncols=2)
    ax.set_ylim(low, ax.get_ylim()[1] + 2.2)
    return drawn


def transfer(found: Any, say: Say) -> Any:
    drawn, axes = canvas(height=2.8)
    [[ax]] = axes
    rows = found["transfer"]
    names = [say("nothing transferred") if row["frozen"] == "none" else row["frozen"]
             for row in rows]  # fmt: skip
    ax.bar(names, [row["accuracy"] for row in rows], yerr=[row["spread"] for row in rows],
           color=[GREY] + [BLUE] * (len(rows) - 1), capsize=4)  # fmt: skip
    ax.set(xlabel=say("layers kept frozen"), ylabel=say("validation accuracy"))
    ax.set_ylim(min(row["accuracy"] for row in rows) - 0.1)
    return drawn


DRAWINGS: dict[str, Callable[[Any, Say], Any]] = {
    "depth": against("depth", "hidden layers"),
    "width": against("width", "units of the hidden layer", log=True),
    "batch": against("batch", "batch size", log=True),
    "rate": rate,
    "optimizer": optimizer,
    "activations": activations,
    "overfitting": overfitting,
    "transfer": transfer,
    "hyperband": hyperband,
    "surrogate": surrogate,
}


if __name__ == "__main__":
    main()
