"""`SklearnTuner`: tunes scikit-learn's models by cross-validation."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

from afina.tuners.base_tuner import BaseTuner
from afina.tuners.cross_validation import check_samples, cross_validate
from afina.tuners.documented import documented
from afina.tuners.options import ProjectOptions
from afina.tuners.oracle import Oracle
from afina.tuners.overrides import is_overridden
from afina.tuners.trial import Trial

MODEL = "model.pickle"


@documented(ProjectOptions, BaseTuner)
class SklearnTuner(BaseTuner):
    """Tunes scikit-learn models.

    Args:
        oracle: Any but Hyperband's; its objective is usually `Objective("score", "max")`.
        hypermodel: A `HyperModel`, or a function `build(hp)` that returns an estimator.
        scoring: `scoring(estimator, X, y)` as made by `sklearn.metrics.make_scorer`; None takes
            the estimator's own `score`.
        metrics: Functions `metric(y_true, y_pred)`, one or a list; each is logged under its name.
        cv: A splitter of scikit-learn; None is `KFold(5, shuffle=True, random_state=1)`.
        kwargs: Where the project is kept and who runs its trials (`ProjectOptions`, explained at
            `BaseTuner`): directory, project_name, overwrite, store, executor, learn_from, tuner_id,
            logger.
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

    def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
        """Pickles the estimator into the trial's folder."""
        del step
        path = Path(self.get_trial_dir(trial_id)) / MODEL
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(model))

    def load_model(self, trial: Trial) -> Any:
        """The estimator that was fitted on the trial's last fold. Open only projects of your own:
        a pickle runs code when it is loaded."""
        return pickle.loads((Path(self.get_trial_dir(trial.trial_id)) / MODEL).read_bytes())
