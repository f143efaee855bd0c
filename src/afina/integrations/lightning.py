"""A callback for PyTorch Lightning that reports the epochs of a trial."""

from __future__ import annotations

from typing import Any

from afina.errors import ArgumentError, ObjectiveError, wrong
from afina.integrations.searches import needed

INSTALL = "afina[lightning]"


def lightning_callback(trial: Any, monitor: str | None = None) -> Any:
    """A Lightning callback that reports each validation to the study, and stops when it says so.

    Pass it to `Trainer(callbacks=[...])` in the function of `Study.optimize`, which may then return
    None: the best epoch is the score.

    Args:
        trial: As the function got it.
        monitor: The logged metric that is the objective; None takes the one of the objective's
            name.

    Raises:
        ArgumentError: It is no trial of a study in this process, or Lightning is not installed.
    """
    study = getattr(trial, "_study", None)
    if study is None:
        rule = "must be the trial that a Study handed out, in the study's process"
        raise ArgumentError(wrong("lightning_callback", rule, type(trial).__name__))
    base: Any = _base()
    name = study.objective.name

    class Reports(base):  # type: ignore[misc]
        """Reports after each validation."""

        def on_validation_end(self, trainer: Any, module: Any) -> None:
            """Reports the metrics that were logged, and stops the training if that was decided."""
            del module
            if trainer.sanity_checking:
                return
            logged = {key: float(value) for key, value in trainer.callback_metrics.items()}
            wanted = monitor or name
            if wanted not in logged:
                rule = f"must be logged with self.log({wanted!r}, ...) in validation_step"
                raise ObjectiveError(wrong("lightning_callback", rule, sorted(logged)))
            trial.report({**logged, name: logged[wanted]}, step=trainer.current_epoch)
            if trial.should_prune():
                trainer.should_stop = True

    return Reports()


def _base() -> Any:
    try:
        return needed("lightning.pytorch", INSTALL).Callback
    except ArgumentError:
        return needed("pytorch_lightning", INSTALL).Callback
