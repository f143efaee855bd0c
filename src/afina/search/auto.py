"""The automatic choice: which algorithm proposes the next trial, and why."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from afina.errors import check_count, check_flag
from afina.search.base import Algorithm, Done, Situation, Suggestion, Wait
from afina.search.bayesian import BayesianOptimization, BayesianState, draws_every
from afina.search.cma import CMAES
from afina.search.explorer import explore, stalled_for
from afina.search.model_halving import ModelBasedHalving
from afina.search.tpe import TPE
from afina.search.untried import check_seed, without_priors
from afina.space import Boolean, Choice, Space
from afina.surrogates.geometry import geometry_of
from afina.surrogates.prior import SEEN, PriorName, check_prior, prior_of
from afina.trials import Decision, Schedule, Trial

Name = Literal["bayesian", "tpe", "cma", "model-halving", "explorer"]

MANY = 300
"""From so many finished trials on, a Gaussian process sees only a part of them."""

FEWEST_EPOCHS = 4
"""The shortest full training, in epochs, whose parts are informative."""

MIXED = 0.5
"""From this share of unordered or conditional hyperparameters on, distances may say little."""

EVIDENCE = 12
"""How many completed trials are needed to see whether a Gaussian process predicts them."""

SURE = 2.0
"""By how many standard errors the process's correlation must exceed 0. One is not enough: the
process is fitted to the same results, and has chosen them."""

OTHER_EVERY = 4
"""When the process has stalled, another algorithm proposes one of so many trials."""

PATIENCE = 20
"""How many full trainings without a gain, at least, before improvement counts as unlikely."""

BY_DIMENSION = 5
"""The same for each hyperparameter."""

GAIN = 0.01
"""The smallest gain, as a part of the distance from the median to the best."""

HOPE = 0.01
"""The smallest expected gain, in standard deviations of the results."""


@dataclass(frozen=True, slots=True)
class AutoState:
    """What `Auto` remembers: the states of its algorithms, and all losses."""

    inner: tuple[Any, ...]
    """The states of the algorithms, in the order of `Auto.algorithms`."""

    finished: int = 0

    losses: tuple[float, ...] = ()
    """The losses of all trials that have one, in the order in which they finished."""

    spent: tuple[float, ...] = ()
    """What each of them cost, as a share of a full training."""


@dataclass(frozen=True, kw_only=True)
class Auto(Algorithm[AutoState]):
    """Chooses and switches by space, budget and what it has seen; `explain` says what and why.

    - With `max_epochs` of 4 or more: `ModelBasedHalving`, which starts with short trainings.
    - Otherwise a Gaussian process (`BayesianOptimization`). If at least half of the hyperparameters
      are unordered or conditional, the process may be a poor model. From the twelfth result on,
      `TPE` proposes every other trial while the process predicts results no better than chance. So
      the search needs at most twice the trials of the better of the two.
    - If next to nothing was gained for five trials in a space with branches, an *explorer* proposes
      trials: each branch has a Gaussian process of its own. See `afina.search.explorer`. A branch
      is what is active with one value of a choice.
    - If the process has gained nothing for ten trials, `TPE` proposes every fourth trial.
    - After 300 finished trials: `CMAES` if all hyperparameters are numbers and always active,
      otherwise `TPE`.

    Each algorithm learns from all trials, including those that another one proposed.

    Args:
        max_epochs: Epochs of a full training; None if the algorithm does not plan epochs.
        seed: Fixes every draw; a whole number from 0 up.
        stop_when_unlikely: Whether to end the search when a better result has become unlikely. That
            is so after max(20, 5 d) full trainings without a real gain, for d hyperparameters. If a
            Gaussian process searches, its best proposal must also promise less than 1 % of a
            standard deviation of the results.
        prior: What is believed before any trial. "roles": what was good for a learning rate, a
            batch size and so on in recorded trainings, where the name tells the role, and what the
            user gave as `prior=`. "given": the latter alone. None: nothing. See
            `afina.surrogates.prior`.
        per_second: Whether to prefer what trains faster among equals, with `max_epochs`; see
            `ModelBasedHalving`.

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
    prior: PriorName | None = "roles"
    per_second: bool = False

    name: ClassVar[str] = "auto"
    fixed_settings: ClassVar[frozenset[str]] = frozenset({"max_epochs"})

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_count("max_epochs", self.max_epochs)
        check_flag("stop_when_unlikely", self.stop_when_unlikely)
        check_flag("per_second", self.per_second)
        check_prior(self.prior)

    def settings(self) -> Mapping[str, Any]:
        """All arguments."""
        return {
            "max_epochs": check_count("max_epochs", self.max_epochs),
            "seed": int(self.seed),
            "stop_when_unlikely": self.stop_when_unlikely,
            "prior": self.prior,
            "per_second": self.per_second,
        }

    @functools.cached_property
    def algorithms(self) -> Mapping[Name, Algorithm[Any]]:
        """The algorithms to choose from, by name."""
        if self._in_parts:
            assert self.max_epochs is not None
            halving = ModelBasedHalving(
                max_epochs=self.max_epochs,
                seed=self.seed,
                prior=self.prior,
                repeats=True,
                per_second=self.per_second,
            )
            return {"model-halving": halving}
        return {
            "bayesian": self._process,
            "tpe": TPE(seed=self.seed),
            "cma": CMAES(seed=self.seed),
        }

    @property
    def _process(self) -> BayesianOptimization:
        return BayesianOptimization(seed=self.seed, prior=self.prior)

    @property
    def _in_parts(self) -> bool:
        return self.max_epochs is not None and self.max_epochs >= FEWEST_EPOCHS

    def init(self) -> AutoState:
        """No trial yet."""
        return AutoState(tuple(part.init() for part in self.algorithms.values()))

    def tell(self, state: AutoState, trial: Trial, space: Space) -> AutoState:
        """Tells all algorithms that may be asked in this space."""
        numbers = not _mixed(space)
        inner = tuple(
            part.tell(own, trial, space) if name != "cma" or numbers else own
            for (name, part), own in zip(self.algorithms.items(), state.inner, strict=True)
        )
        losses, spent = state.losses, state.spent
        if trial.loss is not None:
            losses, spent = (*losses, trial.loss), (*spent, self._share(trial))
        return AutoState(inner, state.finished + 1, losses, spent)

    def ask(self, state: AutoState, situation: Situation) -> Suggestion | Wait | Done:
        """What the chosen algorithm proposes."""
        if self.prior is None:
            situation = without_priors(situation)
        vain = self._in_vain(state, situation)
        if vain is not None:
            return Wait() if situation.running else Done(vain)
        chosen, _ = self._choice(state, situation)
        if chosen == "explorer":
            return self._whole(self._explored(state, situation))
        place = list(self.algorithms).index(chosen)
        return self._whole(self.algorithms[chosen].ask(state.inner[place], situation))

    def _whole(self, given: Suggestion | Wait | Done) -> Suggestion | Wait | Done:
        """The answer; a suggestion without a schedule trains for all epochs."""
        if isinstance(given, Suggestion) and self.max_epochs and given.schedule is None:
            whole = Schedule(bracket=0, rung=0, start_epoch=0, end_epoch=self.max_epochs)
            return dataclasses.replace(given, schedule=whole)
        return given

    def _explored(self, state: AutoState, situation: Situation) -> Suggestion | Wait | Done:
        """What the explorer proposes, from the trials that the Gaussian process knows."""
        known: BayesianState = state.inner[0]
        stalled = stalled_for(state.losses, situation.space)
        return explore(self._process, situation, known.observations, known.tried, stalled)

    def stop_early(self, state: AutoState, trial: Trial, curve: tuple[float, ...]) -> Decision:
        """As the first of the algorithms decides."""
        return next(iter(self.algorithms.values())).stop_early(state.inner[0], trial, curve)

    def explain(self, state: AutoState, situation: Situation) -> str:
        """Which algorithm proposes the next trial, and why; and which prior moves it."""
        chosen, why = self._choice(state, situation)
        prior = prior_of(geometry_of(situation.space), self.prior)
        asked = self.algorithms.get(chosen)
        if prior is not None and isinstance(asked, BayesianOptimization | ModelBasedHalving):
            weight = asked.influence(state.inner[0], situation)
            told = f"counts {weight:.0%}" if weight >= SEEN else "does not move it"
            why = f"{why}; a prior of {prior.described} {told}"
        return f"{chosen}: {why}"

    def _choice(self, state: AutoState, situation: Situation) -> tuple[Name, str]:
        if self._in_parts:
            return "model-halving", f"trainings have up to {self.max_epochs} epochs"
        share = _mixed(situation.space)
        if state.finished >= MANY:
            if not share:
                return "cma", f"{state.finished} trials, and nothing but numbers"
            return "tpe", f"{state.finished} trials, more than a Gaussian process sees"
        why = "a Gaussian process, as there are few trials yet"
        if stalled_for(state.losses, situation.space):
            return "explorer", "the search has stalled, so each branch is tried on its own"
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
        """What the trial cost, as a share of a full training."""
        if not self.max_epochs:
            return 1.0
        done = len(trial.curve) or (trial.end_epoch or self.max_epochs) - trial.start_epoch
        return done / self.max_epochs

    def _in_vain(self, state: AutoState, situation: Situation) -> str | None:
        """Why more trials would gain nothing; None if they may."""
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
    """The share of varying hyperparameters that are unordered or conditional."""
    varying = [entry for entry in space if entry.count != 1]
    loose = [
        entry
        for entry in varying
        if entry.conditions
        or isinstance(entry, Boolean)
        or (isinstance(entry, Choice) and not entry.ordered)
    ]
    return len(loose) / len(varying) if varying else 0.0
