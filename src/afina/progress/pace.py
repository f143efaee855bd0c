"""How fast trials are trained: for the time that is left."""

from __future__ import annotations

from dataclasses import dataclass, replace

from afina.trials import Trial


@dataclass(frozen=True, slots=True)
class Pace:
    """The trials of this call: how many epochs they trained, and how long they took.

    A trial takes a fixed time (to build and compile) and a time for each epoch. Both are estimated
    by least squares, because trials of a multi-fidelity search differ in their epochs.
    """

    trials: int = 0
    epochs: int = 0
    seconds: float = 0.0
    squares: int = 0
    """Sum of the squared epochs."""

    products: float = 0.0
    """Sum of epochs times seconds."""

    def after(self, epochs: int, seconds: float) -> Pace:
        """The pace with one more trial."""
        return replace(
            self,
            trials=self.trials + 1,
            epochs=self.epochs + epochs,
            seconds=self.seconds + seconds,
            squares=self.squares + epochs * epochs,
            products=self.products + epochs * seconds,
        )

    def of_one(self, epochs: float) -> float:
        """Seconds that a trial of so many epochs takes; at least one trial must be known."""
        fixed, each = self._rates()
        return fixed + each * epochs

    def left(self, trials: int, epochs: int) -> float:
        """Seconds for so many trials that train so many epochs together."""
        fixed, each = self._rates()
        return fixed * max(trials, 0) + each * max(epochs, 0)

    def _rates(self) -> tuple[float, float]:
        """Seconds for each trial, and for each epoch; neither is negative."""
        count = self.trials
        mean = self.seconds / count
        spread = count * self.squares - self.epochs**2
        if not self.epochs or spread <= 0:  # all alike: in proportion to the epochs
            return (0.0, self.seconds / self.epochs) if self.epochs else (mean, 0.0)
        each = (count * self.products - self.epochs * self.seconds) / spread
        each = min(max(each, 0.0), self.seconds / self.epochs)
        return max((self.seconds - each * self.epochs) / count, 0.0), each


def planned_epochs(trial: Trial) -> int:
    """Epochs that a trial of a multi-fidelity search trains itself; 0 if that is not planned."""
    plan = trial.schedule
    return 0 if plan is None else plan.end_epoch - plan.start_epoch
