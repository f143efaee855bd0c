"""`Tuner`: trains Keras models with `model.fit`, keeps each trial's best epoch."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any, Unpack

from afina import training
from afina.advice.judgement import Judgement
from afina.errors import (
    ArgumentError,
    CheckpointError,
    check_count,
    check_flag,
    check_number,
    check_whole,
    wrong,
)
from afina.progress import Message
from afina.space import HyperParameters
from afina.tuners import copied_code, winner
from afina.tuners.base_tuner import BaseTuner, check_oracle
from afina.tuners.distribution import maybe_distribute
from afina.tuners.execution import (
    TrialExecutor,
    check_executor_option,
    choose_executor,
    runs_side_by_side,
)
from afina.tuners.groups import Groups, check_group_trials, count_together
from afina.tuners.hooks import EpochHooks, TunerCallback
from afina.tuners.hypermodel import join_arguments
from afina.tuners.model_objective import note_of_directions
from afina.tuners.options import TrainingOptions
from afina.tuners.oracle import Oracle
from afina.tuners.overrides import AROUND, TRAINING, first_overridden, is_overridden
from afina.tuners.reserved_keys import PREFIX
from afina.tuners.surroundings import stage_length
from afina.tuners.trial import Trial
from afina.tuners.workers import check_workers

NO_CHECKPOINT = "checkpoint"
"""Where the notes of a trial tell why its model was not saved."""

PROMOTION = "promotion"
"""Where the notes of a promoted trial tell why it starts from scratch."""


class Tuner(BaseTuner):
    """Tunes Keras models.

    Args:
        oracle: Chooses the trials.
        hypermodel: A `HyperModel`, or a function `build(hp)` that returns a compiled model.
        max_model_size: Trials whose model has more trainable parameters fail without training.
        optimizer: Replaces the one that the model was compiled with.
        loss: Likewise.
        metrics: Likewise.
        distribution_strategy: TensorFlow's; each trial runs in its scope.
        directory: See `BaseTuner`.
        project_name: See `BaseTuner`.
        logger: See `BaseTuner`.
        tuner_id: See `BaseTuner`.
        overwrite: See `BaseTuner`.
        store: See `BaseTuner`.
        executor: Who runs the trials: "serial", "threads", "processes", any `afina.run.Executor`,
            or None, which leaves the choice to `workers` and `group_trials`. Several threads take
            turns at Python code, so that they help where trainings are fused. "threads" and
            "processes" are as many as `workers`; its "auto" is one for each GPU or processor.
        executions_per_trial: How often each configuration is trained; the score is the mean.
        keep_checkpoints: Of how many trials, best first, the models stay on disk, beside those
            that the search still needs; None keeps all.
        training: "auto" trains an epoch as one compiled program wherever that gives what `fit`
            gives, and tells in the trial's notes where it does not; "fit" always calls `model.fit`;
            "fused" raises FatalValueError where it cannot.
        workers: How many trials are trained side by side. "auto": one for each processor, or each
            GPU, where trainings are fused, the search does not learn from the order in which
            trials end, and no method around a training is overridden; else one. A number of them
            is used in any case: threads where trainings are fused, else processes, to which
            hypermodel, data and callbacks must be able to travel.
        group_trials: How many trials at most are trained together, those of one program and the
            same epochs, an epoch of all in one call. "auto": up to eight on a single GPU, where the
            search does not learn from the order in which trials end and a short measurement says
            that it pays; else one. A number above 1 groups in any case what can be grouped, by one
            worker, and tells in the trial's notes where it cannot; a search that learns from each
            trial then asks for so many at once.
        narrow: "auto" narrows the space to what the trials so far advise, each time that a third
            of `max_trials` has ended (20 trials where that is not given); a number of trials
            does so each time that so many have. None leaves the space as it is.
        sparse_inputs: Whether a first Dense layer may skip inputs that are zero where nearly all
            are; False always multiplies.
    """

    _groups: Groups | None = None  # while it runs trials in groups

    def __init__(
        self,
        oracle: Oracle,
        hypermodel: Any = None,
        max_model_size: int | None = None,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        distribution_strategy: Any = None,
        directory: str | Path | None = None,
        project_name: str | None = None,
        logger: Any = None,
        tuner_id: str | None = None,
        overwrite: bool = False,
        executions_per_trial: int = 1,
        **kwargs: Unpack[TrainingOptions],
    ) -> None:
        check_oracle(oracle)
        executions_per_trial = check_whole("executions_per_trial", executions_per_trial)
        if max_model_size is not None:  # a float such as 1e6 is a number of parameters too
            max_model_size = int(check_number("max_model_size", max_model_size, least=0))
        self.max_model_size = max_model_size
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = metrics
        self.distribution_strategy = distribution_strategy
        self.executions_per_trial = executions_per_trial
        self.keep_checkpoints = check_count(
            "keep_checkpoints", kwargs.pop("keep_checkpoints", 10), least=0
        )
        self.training = kwargs.pop("training", "auto")
        self.workers = kwargs.pop("workers", "auto")
        check_workers(self.workers)
        self.group_trials = kwargs.pop("group_trials", "auto")
        check_group_trials(self.group_trials, self.workers)
        check_executor_option(kwargs.get("executor"), self.workers, self.group_trials)
        sparse = check_flag("sparse_inputs", kwargs.pop("sparse_inputs", True))
        self._trainer = training.Trainer(self.training, training.Engine(sparse=sparse))
        oracle.narrow_every = stage_length(kwargs.pop("narrow", None), oracle)
        others: Any = kwargs
        super().__init__(
            oracle=oracle,
            hypermodel=hypermodel,
            directory=directory,
            project_name=project_name,
            logger=logger,
            tuner_id=tuner_id,
            overwrite=overwrite,
            **others,
        )
        if hypermodel is None and not is_overridden(self, "run_trial"):
            raise ArgumentError(
                "Received `hypermodel=None`: give a function build(hp) or a HyperModel, or "
                "override run_trial in a subclass."
            )

    def _forget_search(self) -> None:
        super()._forget_search()
        self._accounts: dict[str, training.Account] = {}  # of the trials that are training
        self._final: winner.Final | None = None  # of the last `retrain_best`
        self._judgement: Judgement | None = None  # of the last `evaluate_best`
        self._told: set[str] = set()  # what was shown, and is not to be shown again
        self._anew: dict[str, str] = {}  # trials whose promotion could load nothing, and why
        self._has_built = False  # since memory was last given back
        self._kept: set[int] = set()  # numbers of trials whose checkpoint may be there
        self._looked_at = 0  # how many of the finished trials have been considered

    # -- building ---------------------------------------------------------------------------------

    def _try_build(self, hp: HyperParameters) -> Any:
        """Builds and checks the model of one configuration, in the state of the trial that it goes
        on from if there is one."""
        model = self._build_fresh(hp)
        parent = hp.values.get("tuner/trial_id")
        return model if parent is None else self._go_on_from(str(parent), model, hp)

    def _build_fresh(self, hp: HyperParameters) -> Any:
        """Builds and checks the model of one configuration."""
        self._has_built = True
        with (
            self._building(hp) as hypermodel,
            maybe_distribute(self.distribution_strategy),
            training.building(),
        ):
            compiles = not first_overridden(self, ("_build_hypermodel", "_override_compile_args"))
            return training.build_model(
                hypermodel if compiles else copied_code.BuiltByTuner(self),
                hp,
                max_model_size=self.max_model_size,
                optimizer=self.optimizer if compiles else None,
                loss=self.loss if compiles else None,
                metrics=self.metrics if compiles else None,
                must_be_compiled=self._whose_training() is None,
            )

    def _build_for_space(self, hp: HyperParameters) -> None:
        seed = training.trial_seed(self.oracle.seed or 0, 0, 0)
        with training.seeded(seed), training.building():
            super()._build_for_space(hp)
        training.release()

    # -- training ---------------------------------------------------------------------------------

    def _check_search(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._whose_training() is None:
            training.check_data(args, kwargs, self.oracle.objective.names)
        if self._trains_itself():
            training.check_reusable(args, kwargs)

    def _trains_itself(self) -> bool:
        """Whether `search` is given exactly what Keras' `fit` gets: nobody has overridden a part of
        the way to it."""
        return (
            self.hypermodel is not None
            and self._whose_training() is None
            and not is_overridden(self.hypermodel, "fit_arguments")
        )

    def _whose_training(self) -> str | None:
        """Which method of the user's trains, so that the arguments of `search` and the results mean
        what that method says; None where Afina's own do."""
        own_fit = first_overridden(self.hypermodel, ("fit",))
        return first_overridden(self, TRAINING) or own_fit

    def _run_all(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Runs the trials, and lets go of the data: the next search may find others in them."""
        try:
            self._run_trials(args, kwargs)
        finally:
            self._trainer.engine.data.forget()

    def _run_trials(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        executor = self._choose_executor()
        self._trainer.engine.one_thread = runs_side_by_side(executor)
        self._groups = executor if isinstance(executor, Groups) else None
        try:
            self._run_by(executor, args, kwargs)
        finally:
            self._groups = None

    def _choose_executor(self) -> TrialExecutor:
        """Who runs the trials of this search, by the tuner's settings."""
        why_one, why_not_threads = self._why_one_worker, self._why_not_threads
        if self.executor is None:
            together = count_together(self.group_trials, self.workers, why_one=why_one)
            if together > 1:
                forced, why_not = self.group_trials != "auto", why_not_threads()
                return Groups(self._trainer, together, forced=forced, why_not=why_not)
        return choose_executor(
            self.executor, self.workers, why_one=why_one, why_not_threads=why_not_threads
        )

    def _why_one_worker(self) -> str | None:
        """Why "auto" trains one trial at a time; None where several side by side are as good."""
        reason = self._why_not_threads() or first_overridden(self, AROUND)
        if reason is None and not self.oracle.study.algorithm.order_independent:
            return "each trial is chosen by what came of those before it"
        return reason

    def _why_not_threads(self) -> str | None:
        """Why trainings cannot run side by side in threads: they would only take turns."""
        return training.why_not_fused(self.training) or self._whose_training()

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        """Builds and trains the trial's model `executions_per_trial` times.

        Where the oracle plans the epochs of each trial, as Hyperband's does, those count, whatever
        `search` was given.

        Args:
            trial: Its `hyperparameters` go to `build` and `HyperModel.fit`.
            args: As given to `search`.
            kwargs: As given to `search`.

        Returns:
            What `HyperModel.fit` returned, one for each execution.
        """
        planned = trial.hyperparameters.values
        if "tuner/epochs" in planned:
            kwargs["epochs"] = planned["tuner/epochs"]
            kwargs["initial_epoch"] = planned["tuner/initial_epoch"]
        callbacks = kwargs.pop("callbacks", None) or []
        best = training.BestEpoch(self.oracle.objective)
        seed = self.oracle.study.seed
        number = self.oracle.number_of(trial.trial_id)
        stream = self.oracle.study.stream(number)
        retries = self.oracle.study.trials[number].retries
        account = training.Account()
        self._accounts[trial.trial_id] = account
        results = []
        for index in range(self.executions_per_trial):
            own = self._deepcopy_callbacks(callbacks)
            self._configure_tensorboard_dir(own, trial, index)
            results.append(
                training.watch_execution(
                    lambda watched: self._build_and_fit_model(
                        trial, *args, callbacks=watched, **kwargs
                    ),
                    objective=self.oracle.objective,
                    callbacks=[*own, self._hooks(trial)],
                    best=best,
                    on_epoch=functools.partial(self._epoch_ended, trial),
                    execution=index,
                    seed=training.trial_seed(seed, stream, index, retries),
                    from_logs=self._whose_training() is None,
                )
            )
        with account.counted("save"):
            self._save_best(trial, best)
        self._tell_path(trial, account)
        return results

    def _save_best(self, trial: Trial, best: training.BestEpoch) -> None:
        """Keeps the model of the best epoch; without one the trial keeps its score all the same."""
        trial.notes.pop(NO_CHECKPOINT, None)
        try:
            saved = best.save(Path(self._get_checkpoint_fname(trial.trial_id)))
            why = best.trouble or "the callbacks of the search were told of no epoch"
        except CheckpointError as error:
            saved, why = False, str(error)
        if not saved:
            trial.notes[NO_CHECKPOINT] = f"none: {why}"

    def _build_and_fit_model(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        """Builds one model, goes on from its parent's state if it has one, and trains it."""
        args, kwargs = copied_code.spread_arguments(args, kwargs)
        hp = trial.hyperparameters
        account = self._accounts.setdefault(trial.trial_id, training.Account())
        with account.counted("build"), training.building():
            model = self._try_build(hp)
        trial.notes.update(note_of_directions(model))
        if self._why_anew(hp) is not None and "initial_epoch" in kwargs:
            kwargs["initial_epoch"] = 0  # all epochs are still to come
        with account.counted("fit"):
            return self._fit(hp, model, args, kwargs, account)

    def _fit(
        self,
        hp: HyperParameters,
        model: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        account: training.Account,
    ) -> Any:
        """Trains a built model in the way that the tuner has chosen."""
        reason = first_overridden(self.hypermodel, ("fit",))
        if reason is not None:
            self._trainer.refuse(reason)
            account.path = f"fit: {reason}"
            return self.hypermodel.fit(hp, model, *args, **kwargs)
        kwargs = join_arguments(kwargs, self.hypermodel.fit_arguments(hp))
        kwargs = training.without_progress_bar(model, args, kwargs)
        return (self._groups or self._trainer).fit(model, args, kwargs, account)

    def _go_on_from(self, parent: str, model: Any, hp: HyperParameters) -> Any:
        """The model in its parent's state; where the search has changed values since, their rate
        stays. A new model where the parent left nothing that can be loaded."""
        changed = self.oracle.trials[parent].hyperparameters.values
        rate = None
        if any(hp.values.get(n) != v for n, v in changed.items() if not n.startswith(PREFIX)):
            rate = training.learning_rate(model)
        self._anew.pop(parent, None)
        try:
            path = Path(self._get_checkpoint_fname(parent))
            training.load_state(model, path, left_out=self._warn_once)
        except CheckpointError as error:
            self._anew[parent] = self._why_no_checkpoint(self.oracle.trials[parent]) or str(error)
            return self._build_fresh(hp)
        if rate is not None:
            model.optimizer.learning_rate = rate
        return model

    def _why_anew(self, hp: HyperParameters) -> str | None:
        """Why a promoted model starts from scratch; None for one that goes on, and for others."""
        return self._anew.get(str(hp.values.get("tuner/trial_id")))

    def _why_no_checkpoint(self, trial: Trial) -> str | None:
        """Why a trial has left no model; None where nothing is known of it."""
        note = str(trial.notes.get(NO_CHECKPOINT, ""))
        return note.removeprefix("none: ") or None

    def _warn_once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            warnings.warn(message, stacklevel=2)

    def _tell_path(self, trial: Trial, account: training.Account) -> None:
        """Keeps which way the trial was trained; shows the reason the first time it is met."""
        del self._accounts[trial.trial_id]
        if not account.path and (reason := self._whose_training()) is not None:
            account.path = f"fit: {reason}"
        trial.notes.update(account.notes())
        told = account.path
        if told.startswith("fit: ") and self.training == "auto":
            self._show_once(f"Trained by plain {told}.")
        if (why := self._why_anew(trial.hyperparameters)) is not None:
            parent = trial.hyperparameters.values["tuner/trial_id"]
            trial.notes[PROMOTION] = f"from scratch: trial {parent} has left no model: {why}"
            self._show_once(f"A promoted trial starts from scratch. Its model is not there: {why}")

    def _show_once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self._show(Message(message))

    def _hooks(self, trial: Trial) -> TunerCallback:
        """Passes epochs on to `on_epoch_begin` and `on_epoch_end`; batches only if asked for."""
        return (TunerCallback if self._overrides_batch_hooks() else EpochHooks)(self, trial)

    def _overrides_batch_hooks(self) -> bool:
        return first_overridden(self, ("on_batch_begin", "on_batch_end")) is not None

    def _deepcopy_callbacks(self, callbacks: list[Any]) -> list[Any]:
        """Each execution gets callbacks of its own."""
        return training.copy_callbacks(callbacks, warn=self._warn_once)

    # -- hooks ------------------------------------------------------------------------------------

    def on_epoch_begin(self, trial: Trial, model: Any, epoch: int, logs: Any = None) -> None:
        """Called at the beginning of an epoch: override it at will."""

    def on_epoch_end(self, trial: Trial, model: Any, epoch: int, logs: Any = None) -> None:
        """Called at the end of an epoch: override it at will."""

    def on_batch_begin(self, trial: Trial, model: Any, batch: int, logs: Any) -> None:
        """Called at the beginning of a batch: override it at will."""

    def on_batch_end(self, trial: Trial, model: Any, batch: int, logs: Any = None) -> None:
        """Called at the end of a batch: override it at will."""

    def on_trial_end(self, trial: Trial) -> None:
        """Ends the trial, and gives back its memory and the checkpoints that nobody needs."""
        account = self._accounts.get(trial.trial_id)
        if account is not None and not type(self).run_trial.__module__.startswith("afina."):
            self._tell_path(trial, account)
        super().on_trial_end(trial)
        if self._has_built:
            training.release(programs=trial.notes.get("training") != "fused")
            self._has_built = False
        self._remove_checkpoints()

    # -- models -----------------------------------------------------------------------------------

    retrain_best = winner.retrain_best
    evaluate_best = winner.evaluate_best
    compare_best = winner.compare_best

    def _get_checkpoint_fname(self, trial_id: str, epoch: int = 0) -> str:
        """The file of a trial's checkpoint; there is one for all epochs."""
        del epoch
        return str(Path(self.get_trial_dir(trial_id)) / training.CHECKPOINT)

    def load_model(self, trial: Trial) -> Any:
        """The trial's model as it was at its best epoch, compiled."""
        hp = trial.hyperparameters.copy()
        hp.values = {n: v for n, v in hp.values.items() if n != "tuner/trial_id"}  # its own state
        model = self._try_build(hp)
        path = Path(self._get_checkpoint_fname(trial.trial_id))
        why = None if path.is_file() else self._why_no_checkpoint(trial)
        if why == training.NO_VARIABLES:
            return model
        if why is not None:
            rule, advice = "must have left a model to load", "Train it anew by retrain_best()."
            raise CheckpointError(wrong(f"trial {trial.trial_id}", rule, f"none: {why}", advice))
        # A model that only `HyperModel.fit` compiles has no optimizer yet to restore.
        training.load_state(
            model, path, optimizer=getattr(model, "compiled", False), left_out=self._warn_once
        )
        return model

    def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
        """Saves the model's weights and its optimizer's state as the trial's checkpoint."""
        del step
        training.save_state(model, Path(self._get_checkpoint_fname(trial_id)))

    def get_best_models(self, num_models: int = 1) -> list[Any]:
        """The models of the best trials as they were at their best epoch, best first.

        For the final model, build anew with `get_best_hyperparameters` and train on all data.

        Args:
            num_models: How many; fewer where there are not so many completed trials.

        Raises:
            ArgumentError: More than `keep_checkpoints` are asked for.
        """
        return super().get_best_models(num_models)

    def _remove_checkpoints(self) -> None:
        if self.keep_checkpoints is None:
            return
        study = self.oracle.study
        keep = {trial.number for trial in study.best_trials(self.keep_checkpoints)}
        keep |= self.oracle.needed_trials()
        self._kept |= set(study.ended[self._looked_at :])
        self._looked_at = len(study.ended)
        for number in self._kept - keep:
            folder = self._trial_folder(self.oracle.id_of(number))
            training.remove_checkpoint(folder / training.CHECKPOINT)
        self._kept &= keep

    # -- names that copied code calls -------------------------------------------------------------

    _build_hypermodel = copied_code.build_hypermodel
    _override_compile_args = copied_code.override_compile_args
    _filter_metrics = copied_code.filter_metrics
    _configure_tensorboard_dir = copied_code.configure_tensorboard_dir
    _get_tensorboard_dir = copied_code.get_tensorboard_dir
    _get_checkpoint_dir = copied_code.get_checkpoint_dir
    _get_build_config_fname = copied_code.get_build_config_fname
    _on_train_begin = copied_code.on_train_begin
    _reported_step = 0
    _save_n_checkpoints = 10
