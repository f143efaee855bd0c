"""A small search with what other tools find hard: late metrics, texts, failures, odd names."""

import afina
from afina.search import Grid


def build(hp):
    hp.Choice("loss", ["mse", "huber"])
    if hp.Boolean("deep"):
        hp.Int("depth\x1b[31m", 2, 5)  # discovered late


def train(trial):
    if trial.values.get("depth\x1b[31m") == 3:
        raise ValueError("no such layer\x1b[31m")
    for epoch in range(3):
        metrics = {"val_loss": 2.0 / (epoch + 1) + trial.values["deep"]}
        if trial.values["loss"] == "huber":
            metrics["late/metric"] = 0.5
        trial.report(metrics, epoch)


def searched(folder, most=8):
    study = afina.Study(
        build,
        objective=afina.Objective("val_loss", "min"),
        algorithm=Grid(),
        store=folder,
        max_trials=most,
    )
    study.optimize(train)
    return study
