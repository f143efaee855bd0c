"""`SklearnTuner`: tunes scikit-learn's models by cross-validation."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from afina.errors import ArgumentError, wrong
from afina.space import HyperParameters
from afina.store import make_project_folder
from afina.tuners import trial_files
from afina.tuners.base_tuner import BaseTuner
from afina.tuners.cross_validation import check_samples, cross_validate, fit_rows
from afina.tuners.documented import documented
from afina.tuners.options import ProjectOptions
from afina.tuners.oracle import Oracle
from afina.tuners.overrides import is_overridden
from afina.tuners.trial import Trial

MODEL = "model.pickle"


PARAMETERS = ("oracle", "hypermodel", "scoring", "metrics", "cv", "directory", "project_name")
"""What `get_params` returns: the arguments that say what is searched, and where."""


@documented(ProjectOptions, BaseTuner)
class SklearnTuner(BaseTuner):
    """Tunes scikit-learn models.

    It follows scikit-learn's conventions, as `GridSearchCV` does. `fit` searches and trains the
    best configuration on all rows; then `predict`, `score` and the like are those of
    `best_estimator_`, and `best_params_`, `best_score_` and `cv_results_` say what was found.
    `sklearn.base.clone` makes a tuner that has not searched, with a project of its own, so that
    `cross_val_score(tuner, X, y)` is a nested cross-validation.

    Args:
        oracle: Any but Hyperband's; its objective is usually `Objective("score", "max")`.
        hypermodel: A `HyperModel`, or a function `build(hp)` that returns an estimator.
        scoring: `scoring(estimator, X, y)` as made by `sklearn.metrics.make_scorer`; None takes
            the estimator's own `score`.
        metrics: Functions `metric(y_true, y_pred)`, one or a list; each is logged under its name.
        cv: A splitter of scikit-learn; None is `KFold(5, shuffle=True, random_state=1)`.
        kwargs: Where the project is kept and who runs its trials (`ProjectOptions`, explained at
            `BaseTuner`): directory, project_name, overwrite, store, executor, learn_from,
            listeners, tuner_id, logger.
    """

    def __init__(
        self,
        oracle: Oracle,
        hypermodel: Any,
        scoring: Callable[..., float] | None = None,
        metrics: Any = None,
        cv: Any = None,
        **kwargs: Unpack[ProjectOptions],
    ) -> None:
        self.scoring = scoring
        self.metrics = metrics if isinstance(metrics, list) or metrics is None else [metrics]
        self.cv = cv
        super().__init__(oracle=oracle, hypermodel=hypermodel, **kwargs)

    def search(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
        verbose: Any = "auto",
    ) -> None:
        """Runs trials until the oracle has no more.

        Args:
            X: Samples, array-like or DataFrame, (n, ...).
            y: Targets, (n,) or (n, outputs).
            sample_weight: (n,), for estimators and scores that take it.
            groups: (n,), for splitters that take them.
            verbose: 0 is silent. Only the display looks at it: `run_trial` gets the others.
        """
        if verbose != "auto":
            self.oracle.verbose = verbose
        self._search((X, y), {"sample_weight": sample_weight, "groups": groups}, verbose)

    def _check_search(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not is_overridden(self, "run_trial"):
            check_samples(args[0], args[1], kwargs["sample_weight"], kwargs["groups"])

    def run_trial(
        self,
        trial: Trial,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
    ) -> dict[str, float]:
        """Cross-validates one configuration and keeps the last fold's model."""

        def build() -> Any:
            with self._building(trial.hyperparameters) as hypermodel:
                return hypermodel.build(trial.hyperparameters)

        scores, model = cross_validate(
            build,
            X,
            y,
            sample_weight=sample_weight,
            groups=groups,
            cv=self.cv,
            scoring=self.scoring,
            metrics=self.metrics,
        )
        self.save_model(trial.trial_id, model)
        return scores

    # -- scikit-learn's conventions -----------------------------------------------------------

    def fit(self, X: Any, y: Any, **search_arguments: Any) -> SklearnTuner:
        """Searches, and trains the best configuration on all rows.

        Args:
            X: As for `search`.
            y: As for `search`.
            search_arguments: As for `search`, but silent unless `verbose` says otherwise.

        Raises:
            NoTrialError: No trial was completed.
        """
        self.search(X, y, **{"verbose": 0, **search_arguments})
        best = self._best_first(self.oracle.get_best_trials(1), 1, "fit")[0]
        weight = search_arguments.get("sample_weight")
        with self._building(best.hyperparameters.copy()) as hypermodel:
            model = hypermodel.build(best.hyperparameters.copy())
        fit_rows(model, X, y, weight)
        self.best_estimator_ = model
        return self

    def score(self, X: Any, y: Any, **arguments: Any) -> float:
        """The score of `best_estimator_` on these rows.

        Raises:
            AttributeError: `fit` was not called before.
        """
        return float(self.best_estimator_.score(X, y, **arguments))

    @property
    def best_params_(self) -> dict[str, Any]:
        """The values of the best trial."""
        return dict(self.oracle.search_state.best_trials(1)[0].values)

    @property
    def best_score_(self) -> float:
        """The mean score of the best trial over its folds."""
        return float(self.oracle.search_state.best_trials(1)[0].score or 0.0)

    @property
    def cv_results_(self) -> dict[str, Any]:
        """One row for each completed trial, under scikit-learn's names: params, mean_test_score,
        rank_test_score, and the mean of each metric."""
        state = self.oracle.search_state
        best = [trial.number for trial in state.best_trials(len(state.trials))]
        done = [state.trials[number] for number in sorted(best)]
        metrics = [{"score": trial.score, **trial.metrics} for trial in done]
        names = dict.fromkeys(name for row in metrics for name in row)
        return {
            "params": [dict(trial.values) for trial in done],
            "rank_test_score": np.array([best.index(trial.number) + 1 for trial in done]),
            **{f"mean_test_{n}": np.array([row.get(n, np.nan) for row in metrics]) for n in names},
        }

    def __getattr__(self, name: str) -> Any:
        # What a fitted estimator can do: predict, predict_proba, score, classes_ ...
        if name.startswith("_") or name == "best_estimator_" or "best_estimator_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no {name!r}; fit it first.")
        return getattr(self.best_estimator_, name)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that the tuner was made with, by name."""
        del deep
        return {name: getattr(self, name) for name in PARAMETERS}

    def set_params(self, **parameters: Any) -> SklearnTuner:
        """Changes scoring, metrics or cv before the first trial.

        Raises:
            ArgumentError: It is another argument, or trials have been run.
        """
        own = ("scoring", "metrics", "cv")
        strange = sorted(set(parameters) - set(own))
        if strange:
            raise ArgumentError(wrong("set_params", f"must name one of {own}", strange))
        if parameters and self.oracle.search_state.trials:
            rule = "must come before the first trial"
            advice = "Clone the tuner, or give it another project_name."
            raise ArgumentError(wrong("set_params", rule, sorted(parameters), advice))
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def __sklearn_clone__(self) -> SklearnTuner:
        other = copy.copy(self)
        vars(other).pop("best_estimator_", None)
        number = 1
        while (Path(self.directory) / f"{self.project_name}-clone{number}").exists():
            number += 1
        other.project_name = f"{self.project_name}-clone{number}"
        other.oracle = self.oracle.anew(self.oracle.get_space(), (), None)
        other._begin_anew()
        make_project_folder(Path(other.project_dir))
        other._open_project()
        return other

    def __sklearn_is_fitted__(self) -> bool:
        return "best_estimator_" in vars(self)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import get_tags

        with self._building(hp := HyperParameters()) as hypermodel:
            return get_tags(hypermodel.build(hp))

    # -- files ------------------------------------------------------------------------------------

    def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
        """Pickles the estimator into the trial's folder."""
        del step
        path = Path(self.get_trial_dir(trial_id)) / MODEL
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(model))
        trial_files.send(self, trial_id)

    def load_model(self, trial: Trial) -> Any:
        """The estimator that was fitted on the trial's last fold. Open only projects of your own:
        a pickle runs code when it is loaded."""
        return pickle.loads((Path(self.get_trial_dir(trial.trial_id)) / MODEL).read_bytes())
