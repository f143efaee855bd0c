"""How good what a search finds is: Afina's algorithms and other packages on the same problems.

    python benchmarks/search_quality/run.py                      # everything; hours the first time
    python benchmarks/search_quality/run.py --short              # a minute, to see that all works
    python benchmarks/search_quality/run.py --contestants afina-tpe --problems tuning --protocol S
    python benchmarks/search_quality/run.py --report             # only the tables of what is kept

Single runs are kept in `.bench/runs`: a peer's are made once, Afina's anew each time unless --keep.
A run on all problems writes RESULTS.md and `results/`, each protocol its own part of them; one on a
part of the problems only prints.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import environments
import live_problems
import problems
import record
import tables
from contestants import ENTRIES, of_protocol
from problem import REFERENCES, Problem

HERE = Path(__file__).resolve().parent
SHORT = {"problems": ["branin", "cells", "optimizers"], "curves": ["curves_honest"]}
STORE = environments.WORKSHOP / "runs"


def main() -> None:
    options = arguments()
    if options.short:
        options.contestants = options.contestants or ["random", "afina-random"]
        options.seeds = min(options.seeds, 2)
    protocols = ["S", "M"] if options.protocol == "both" else [options.protocol]
    found = []
    for protocol in protocols:
        some = chosen(options, protocol)
        if not options.report:
            for name in options.contestants or of_protocol(protocol):
                if protocol in ENTRIES[name].protocols:
                    compete(name, protocol, some, options)
        labels = of_protocol(protocol)
        if options.label:
            labels.append(options.label)
        found.append(tables.collect(options.store, protocol, labels, some, options.seeds))
    for results in found:
        show(results, options)
        if options.lower_optima:
            lower_optima(results.beaten)
    whole = not (options.problems or options.groups or options.short)
    if whole or options.output:
        record.write(found, options.output or HERE, options.subject)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--contestants", "--algorithms", nargs="+", choices=list(ENTRIES), metavar="NAME")
    add("--problems", nargs="+", metavar="NAME", help='names, or "tuning", "held-out", "all"')
    add("--groups", nargs="+", choices=problems.GROUPS)
    add("--protocol", choices=["S", "M", "both"], default="both")
    add("--seeds", type=int, default=5, help="how many, from 0")
    add("--budget", type=int, help="fewer trials, or full trainings' worth of epochs, than usual")
    add("--short", action="store_true", help="random searches on a few problems")
    add("--live", action="store_true", help="a network on Fashion-MNIST too: slow")
    add("--keep", action="store_true", help="run only what has not been run, Afina's too")
    add("--report", action="store_true", help="run nothing")
    add("--each", action="store_true", help="print a table by problem, too")
    add("--subject", default="afina-auto", help="whom the demands are for")
    add("--lower-optima", action="store_true", help="into references.json, where runs beat them")
    add("--label", help="keep the runs under this name, to compare settings")
    add("--settings", type=json.loads, default={}, help="JSON: arguments of the algorithm")
    add("--peer-python", type=Path, help="interpreter that has requirements-peers.txt")
    add("--keras-tuner-python", type=Path, help="one that has requirements-keras-tuner.txt")
    add("--store", type=Path, default=STORE, help="where single runs are kept")
    add("--output", type=Path, help="folder for RESULTS.md and results/")
    return parser.parse_args()


def chosen(options: argparse.Namespace, protocol: str) -> list[Problem]:
    """The problems of a protocol."""
    curves = protocol == "M"
    wanted = options.problems or []
    if options.short and not wanted:
        wanted = SHORT["curves" if curves else "problems"]
    if options.live:
        wanted = [*(wanted or ["all"]), *live_problems.MAKERS]
    return problems.select(*wanted, groups=options.groups or (), curves=curves)


def compete(name: str, protocol: str, some: list[Problem], options: argparse.Namespace) -> None:
    """Runs a contestant in its interpreter, and goes on with the next whatever happens."""
    given = {"peers": options.peer_python, "keras-tuner": options.keras_tuner_python}
    own = ENTRIES[name].package == "afina"
    task = {
        "contestant": name,
        "label": options.label or name,
        "protocol": protocol,
        "problems": [problem.name for problem in some],
        "seeds": list(range(options.seeds)),
        "budget": options.budget or ({"S": 12, "M": 5}[protocol] if options.short else None),
        "store": str(options.store.resolve()),
        "again": own and not options.keep,
        "settings": options.settings,
    }
    python = environments.interpreter(ENTRIES[name].home, given)
    command = [str(python), str(HERE / "worker.py"), json.dumps(task)]
    done = subprocess.run(command, env=environments.variables(), check=False)
    if done.returncode != 0:
        print(f"{name} did not run through (exit code {done.returncode})", flush=True)


def lower_optima(beaten: dict[str, float]) -> None:
    """Keeps what runs have found as the known optima of the problems that no formula describes."""
    kept = json.loads(REFERENCES.read_text(encoding="utf-8"))
    for name in beaten.keys() & kept.keys():
        kept[name]["optimum"] = min(kept[name]["optimum"], beaten[name])
    text = json.dumps(kept, indent=1, sort_keys=True)
    REFERENCES.write_text(text + "\n", encoding="utf-8")


def show(results: tables.Results, options: argparse.Namespace) -> None:
    """Prints the tables."""
    what = "full trainings" if results.protocol == "S" else "epochs, in full trainings' worth"
    for title, some in tables.parts(results.problems):
        print(f"\n== Protocol {results.protocol} ({what}), {len(some)} {title}")
        print(tables.summary(results, some))
        print(f"\nMean regret at {tables.POINTS[results.protocol]} by group")
        print(tables.by_group(results, some))
        if options.each:
            print(tables.by_problem(results, some))
        subject = options.label or options.subject
        if subject in results.regrets:
            print(f"\nDemands on {subject}")
            print(tables.demand_table(results, subject, some))
    for name, loss in results.beaten.items():
        print(f"NOTE {name}: a run found {loss:.7g}, below the known optimum; see --lower-optima")
    for line in results.errors:
        print("ERROR", line)


if __name__ == "__main__":
    main()
