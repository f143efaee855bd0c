"""Searches of other packages, and damaged ones of our own, become new projects.

    read_keras_tuner   a folder of Keras Tuner's     ──┐
    read_optuna        a study of Optuna's           ──┴─> Imported ── write_project ─> project
    diagnose           a damaged project of ours     ────> Diagnosis ───── repair ────> project

An imported search can be listed, advised on and reported like any other. A new search learns from
it: `learn_from=folder`. No other package's algorithm is continued.
"""

from afina.migration.keras_tuner import read_keras_tuner
from afina.migration.optuna import read_optuna
from afina.migration.project import Imported, write_project
from afina.migration.repair import Diagnosis, diagnose, repair

__all__ = [
    "Diagnosis",
    "Imported",
    "diagnose",
    "read_keras_tuner",
    "read_optuna",
    "repair",
    "write_project",
]
