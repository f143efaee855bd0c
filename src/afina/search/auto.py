"""The automatic choice: which algorithm searches here, now, and why."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from afina.errors import check_count, check_flag
from afina.search.base import Algorithm, Done, Situation, Suggestion, Wait
from afina.search.bayesian import BayesianOptimization, draws_every
from afina.search.cma import CMAES
from afina.search.model_halving import ModelBasedHalving
from afina.search.tpe import TPE
from afina.search.untried import check_seed
from afina.space import Boolean, Choice, Space
from afina.trials import Decision, Schedule, Trial

Name = Literal["bayesian", "tpe", "cma", "model-halving"]

MANY = 300
"""Finished trials from which on a Gaussian process sees only a part of them."""

FEWEST_EPOCHS = 4
"""Of a full training, for parts of it to tell anything about it."""

MIXED = 0.5
"""Part of the hyperparameters that are unordered or conditional from which on the distances of a
Gaussian process may say little."""

EVIDENCE = 12
"""Completed trials from which on it is known whether they do."""

SURE = 2.0
"""Standard errors of a correlation by which they must differ from nothing. One would not do: the
process is fitted to the same results, and has chosen them."""

OTHER_EVERY = 4
"""Of so many trials of a process that has stalled, one is another algorithm's."""

PATIENCE = 20
"""Full trainings' worth of trials without a gain, at least, before more are called in vain."""

BY_DIMENSION = 5
"""The same for each hyperparameter."""

GAIN = 0.01
"""Of the distance from the median to the best: what is less is no gain."""

HOPE = 0.01
"""The same for what the model expects, in deviations of the results."""


@dataclass(frozen=True, slots=True)
class AutoState:
    """What is remembered: the states of the algorithms behind, and what the last gain was."""

    inner: tuple[Any, ...]
    """The states of the algorithms, in the order of `Auto.algorithms`."""

    finished: int = 0

    losses: tuple[float, ...] = ()
    """Of the trials that have one, in the order in which they ended."""

    spent: tuple[float, ...] = ()
    """Full trainings' worth of training that each of them took."""


@dataclass(frozen=True, kw_only=True)
class Auto(Algorithm[AutoState]):
    """Chooses and switches by space, budget and what it has seen; `explain` says what and why.

    - With `max_epochs`: `ModelBasedHalving`, which begins with short trainings.
    - Without: a Gaussian process (`BayesianOptimization`). Where at least half of the
      hyperparameters are unordered or conditional, and from the twelfth result on the process
      still predicts each result from the others no better than chance, every other trial is
      `TPE`'s, whose weakness is another: neither then costs more than twice the trials of the
      better one.
    - Where the process has gained nothing for ten trials, every fourth trial is `TPE`'s.
    - Beyond 300 finished trials: `CMAES` where all are numbers and always active, else `TPE`.

    All of them learn from all trials, whoever proposed them.

    Args:
        max_epochs: Epochs of a full training; None where the user plans them.
        seed: Fixes every draw; from 0 up.
        stop_when_unlikely: Whether to end the search when a better result has become unlikely: no
            gain worth the name for max(20, 5 d) full trainings of d hyperparameters and, where a
            Gaussian process searches, its best proposal is expected to gain less than 1 % of a
            deviation of the results.

    Raises:
        ArgumentError: An argument is out of range.

    Source:
        Which algorithm where: section "Which sampler" of the AutoSampler of OptunaHub, and
        Eggensperger et al. on conditional spaces, with the change that the results decide. When
        to stop: the expected improvement as in Nguyen et al., "Regret for expected improvement over
        the best-observed value and stopping condition" (ACML 2017); compare Makarova et al.,
        "Automatic termination for hyperparameter optimization", arXiv:2104.08166.

    Example:
        >>> from afina.space import Float
        >>> space = Space((Float("rate", 1e-4, 1e-1, sampling="log"),))
        >>> search, situation = Auto(seed=0), Situation(number=0, space=space)
        >>> search.ask(search.init(), situation).values
        {'rate': 0.0001}
        >>> search.explain(search.init(), situation)
        'bayesian: a Gaussian process, as there are few trials yet'
    """

    max_epochs: int | None = None
    seed: int = 0
    stop_when_unlikely: bool = False

    name: ClassVar[str] = "auto"
    fixed_settings: ClassVar[frozenset[str]] = frozenset({"max_epochs"})

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_count("max_epochs", self.max_epochs)
        check_flag("stop_when_unlikely", self.stop_when_unlikely)

    def settings(self) -> Mapping[str, Any]:
        """All arguments."""
        return {
            "max_epochs": check_count("max_epochs", self.max_epochs),
            "seed": int(self.seed),
            "stop_when_unlikely": self.stop_when_unlikely,
        }

    @functools.cached_property
    def algorithms(self) -> Mapping[Name, Algorithm[Any]]:
        """The algorithms behind."""
        if self._in_parts:
            assert self.max_epochs is not None
            return {"model-halving": ModelBasedHalving(max_epochs=self.max_epochs, seed=self.seed)}
        return {
            "bayesian": self._process,
            "tpe": TPE(seed=self.seed),
            "cma": CMAES(seed=self.seed),
        }

    @property
    def _process(self) -> BayesianOptimization:
        return BayesianOptimization(seed=self.seed)

    @property
    def _in_parts(self) -> bool:
        return self.max_epochs is not None and self.max_epochs >= FEWEST_EPOCHS

    def init(self) -> AutoState:
        """No trial yet."""
        return AutoState(tuple(part.init() for part in self.algorithms.values()))

    def tell(self, state: AutoState, trial: Trial, space: Space) -> AutoState:
        """Tells all algorithms behind that may be asked in this space."""
        numbers = not _mixed(space)
        told = tuple(
            part.tell(own, trial, space) if name != "cma" or numbers else own
            for (name, part), own in zip(self.algorithms.items(), state.inner, strict=True)
        )
        losses, spent = state.losses, state.spent
        if trial.loss is not None:
            losses, spent = (*losses, trial.loss), (*spent, self._share(trial))
        return AutoState(told, state.finished + 1, losses, spent)

    def ask(self, state: AutoState, situation: Situation) -> Suggestion | Wait | Done:
        """What the chosen algorithm proposes."""
        vain = self._in_vain(state, situation)
        if vain is not None:
            return Wait() if situation.running else Done(vain)
        chosen, _ = self._choice(state, situation)
        place = list(self.algorithms).index(chosen)
        answer = self.algorithms[chosen].ask(state.inner[place], situation)
        if isinstance(answer, Suggestion) and self.max_epochs and answer.schedule is None:
            whole = Schedule(bracket=0, rung=0, start_epoch=0, end_epoch=self.max_epochs)
            return dataclasses.replace(answer, schedule=whole)
        return answer

    def stop_early(self, state: AutoState, trial: Trial, curve: tuple[float, ...]) -> Decision:
        """As the first of the algorithms behind decides."""
        return next(iter(self.algorithms.values())).stop_early(state.inner[0], trial, curve)

    def explain(self, state: AutoState, situation: Situation) -> str:
        """Which algorithm proposes the next trial, and why."""
        return ": ".join(self._choice(state, situation))

    def _choice(self, state: AutoState, situation: Situation) -> tuple[Name, str]:
        if self._in_parts:
            return "model-halving", f"trainings have up to {self.max_epochs} epochs"
        share = _mixed(situation.space)
        if state.finished >= MANY:
            if not share:
                return "cma", f"{state.finished} trials, and nothing but numbers"
            return "tpe", f"{state.finished} trials, more than a Gaussian process sees"
        why = "a Gaussian process, as there are few trials yet"
        if situation.number % OTHER_EVERY == 1 and draws_every(state.inner[0]):
            return "tpe", "a Gaussian process has stalled, and another may find more"
        if share < MIXED or len(state.losses) < EVIDENCE:
            return "bayesian", why
        skill = self._process.skill(state.inner[0], situation.space)
        if skill * math.sqrt(len(state.losses)) >= SURE:
            return "bayesian", f"{why} and it predicts them (correlation {skill:.2f})"
        why = (
            f"{share:.0%} of the space is unordered or conditional, and a Gaussian process does "
            f"not predict it (correlation {skill:.2f}), so two take turns"
        )
        return ("tpe" if situation.number % 2 else "bayesian"), why

    def _share(self, trial: Trial) -> float:
        """Full trainings' worth of the trial."""
        if not self.max_epochs:
            return 1.0
        done = len(trial.curve) or (trial.end_epoch or self.max_epochs) - trial.start_epoch
        return done / self.max_epochs

    def _in_vain(self, state: AutoState, situation: Situation) -> str | None:
        """Why more trials would be in vain; None where they may gain something."""
        if not self.stop_when_unlikely or not state.losses:
            return None
        entries = sum(entry.count != 1 for entry in situation.space)
        patience = max(PATIENCE, BY_DIMENSION * entries)
        spent, first = 0.0, len(state.losses)
        while first > 0 and spent < patience:
            first -= 1
            spent += state.spent[first]
        before, since = state.losses[:first], state.losses[first:]
        if spent < patience or not before:
            return None
        ordered = sorted(loss for loss in state.losses if math.isfinite(loss))
        if not ordered:
            return None
        least = GAIN * (ordered[len(ordered) // 2] - min(before))
        if min(since) < min(before) - least:
            return None
        if (
            self._choice(state, situation)[0] == "bayesian"
            and self._process.promise(state.inner[0], situation) > HOPE
        ):
            return None
        return f"improvement has become unlikely: none in the last {patience} full trainings"


@functools.lru_cache(maxsize=4)
def _mixed(space: Space) -> float:
    """Which part of the hyperparameters that vary is unordered or conditional."""
    varying = [entry for entry in space if entry.count != 1]
    loose = [
        entry
        for entry in varying
        if entry.conditions
        or isinstance(entry, Boolean)
        or (isinstance(entry, Choice) and not entry.ordered)
    ]
    return len(loose) / len(varying) if varying else 0.0
