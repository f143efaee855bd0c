"""`Tuner`: trains Keras models with `model.fit`, keeps each trial's best epoch."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

from afina import training
from afina.advice.judgement import Comparison, Judgement
from afina.errors import (
    ArgumentError,
    CheckpointError,
    check_count,
    check_flag,
    check_number,
    check_whole,
)
from afina.progress import Message
from afina.run import Signal
from afina.space import HyperParameters
from afina.training.build import recompile
from afina.training.interim import InterimCheckpoint, Interval
from afina.training.structure import note_structure
from afina.tuners import checkpoints, copied_code, half_batch, trial_files
from afina.tuners import train_on as elsewhere
from afina.tuners.base_tuner import BaseTuner, check_oracle
from afina.tuners.by_hand import clean_up, tell_abilities
from afina.tuners.copied_code import EpochHooks, TunerCallback, maybe_distribute
from afina.tuners.documented import documented
from afina.tuners.ensemble import Ensemble, ensemble_of, load_kept
from afina.tuners.execution import (
    TrialExecutor,
    check_executor_option,
    choose_executor,
    runs_side_by_side,
)
from afina.tuners.fitting import built_for, fit_arguments
from afina.tuners.fold_group import FoldGroups
from afina.tuners.fold_run import first_fold, folds_of, train_folds
from afina.tuners.groups import Groups, check_group_trials, count_together
from afina.tuners.hypermodel import HyperModel
from afina.tuners.options import TrainingOptions
from afina.tuners.oracle import Oracle
from afina.tuners.overrides import AROUND, ORACLE, TRAINING, first_overridden, is_overridden
from afina.tuners.own_code import keeps_nothing
from afina.tuners.populated import stage_length
from afina.tuners.reserved_keys import segment_of, without_parent
from afina.tuners.trial import Trial
from afina.tuners.trial_run import forget, give_back, train_trial, why_not_saved
from afina.tuners.winner import Final, Winner, validation_size
from afina.tuners.workers import check_workers


@documented(TrainingOptions, BaseTuner)
class Tuner(copied_code.CopiedNames, BaseTuner):
    """Tunes Keras models.

    Args:
        oracle: Chooses the trials.
        hypermodel: A `HyperModel`, or a function `build(hp)` that returns a compiled model.
        max_model_size: Trials whose model has more trainable parameters fail without training.
        optimizer: Replaces the one that the model was compiled with.
        loss: Replaces the one that the model was compiled with.
        metrics: Replace those that the model was compiled with.
        distribution_strategy: TensorFlow's; each trial runs in its scope.
        executor: Who runs the trials: "serial", "threads", "processes", "ray" or the address of a
            Ray cluster, any `afina.run.Executor`, or None, which leaves the choice to `workers` and
            `group_trials`. Several threads take turns at Python code, so that they help where
            trainings are fused. "threads" and "processes" are as many as `workers`; its "auto" is
            one for each GPU or processor, and for "ray" as many as the cluster has room for.
        executions_per_trial: How often each configuration is trained; the score is the mean.
        cv: A number of folds, a splitter as those of scikit-learn, or pairs of row numbers: each
            configuration is cross-validated, and the score is the mean over the folds.
        keep_checkpoints: Of how many trials, best first, the models stay on disk, beside those
            that the search still needs; None keeps all.
        training: "auto" trains an epoch as one compiled program wherever that gives what `fit`
            gives; where it does not, the trial's notes say why. "fit" always calls `model.fit`.
            "fused" raises FatalValueError where it cannot. A `Trainer` of your own is asked first;
            what it refuses is trained as with "auto".
        workers: How many trials are trained side by side. "auto": one for each processor, or each
            GPU, where trainings are fused, the search does not learn from the order in which
            trials end, and no method around a training is overridden; else one. A number of them
            is used in any case: threads where trainings are fused, else processes, to which
            hypermodel, data and callbacks must be able to travel.
        train_on: "jax" builds and trains the trials on JAX in a process of its own, and the script
            stays on TensorFlow or PyTorch. Models, such as those of `get_best_models`, are the
            script's own. None trains with the script's own backend.
        group_trials: How many trials at most are trained together, those of one program and the
            same epochs, an epoch of all in one call. "auto": up to eight on a single GPU, where the
            search does not learn from the order in which trials end and a short measurement says
            that it pays; else one. A number above 1 groups in any case what can be grouped, by one
            worker, and says in the trial's notes where it cannot; a search that learns from each
            trial then asks for so many at once. With `cv`, folds of one trial are grouped instead.
        narrow: "auto" narrows the space to what the trials so far advise, each time that a third
            of `max_trials` has ended (20 trials where that is not given); a number of trials
            does so each time that so many have. None leaves the space as it is.
        sparse_inputs: Whether a first Dense layer may skip inputs that are zero where nearly all
            are; False always multiplies.
        checkpoint_every: How often a running training is saved, so that after a crash it continues
            there: a number of seconds, a text such as "5 epochs", or None for never. A trial whose
            callbacks may hold a state of their own, or that code of the user's trains, starts over.
        halve_batch_on_oom: Whether a trial for which memory runs out, of the machine or of the
            device, is tried once more with half the batch. Its notes say so.
        materialize: "auto" reads streams of data (`tf.data`, `PyDataset`, `DataLoader`) into arrays
            where that keeps their meaning. True reads every stream that ends, and takes what is
            random in it as it came. False reads none.
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
        self._take_options(kwargs)
        self._process = elsewhere.start_early(
            self, self.train_on, directory, project_name, overwrite=overwrite
        )
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

    def _take_options(self, options: TrainingOptions) -> None:
        """Takes out of the options what says how models are trained; the others stay in them."""
        self.keep_checkpoints = check_count(
            "keep_checkpoints", options.pop("keep_checkpoints", 10), least=0
        )
        self.training = options.pop("training", "auto")
        self.workers = options.pop("workers", "auto")
        check_workers(self.workers)
        self.checkpoint_every = Interval.of(options.pop("checkpoint_every", 300))
        self.halve_batch_on_oom = check_flag(
            "halve_batch_on_oom", options.pop("halve_batch_on_oom", False)
        )
        self.group_trials = options.pop("group_trials", "auto")
        check_group_trials(self.group_trials, self.workers)
        check_executor_option(options.get("executor"), self.workers, self.group_trials)
        self._folds = folds_of(options.pop("cv", None), self.executions_per_trial)
        self._fold_groups = FoldGroups()
        self.train_on = self._backend = options.pop("train_on", None)
        elsewhere.check_train_on(self.train_on, options.get("executor"), self.distribution_strategy)
        sparse = check_flag("sparse_inputs", options.pop("sparse_inputs", True))
        self.materialize = options.pop("materialize", "auto")
        streams = training.Streams(self.materialize)
        engine = training.Engine(sparse=sparse)
        self._trainer = training.TrainerChooser(self.training, engine, streams)

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._accounts: dict[str, training.Account] = {}  # of the trials that are training
        self._interims: dict[str, InterimCheckpoint] = {}  # theirs, too
        self._final: Final | None = None  # of the last `retrain_best`
        self._shown: set[str] = set()  # messages and warnings that are shown once
        self._from_scratch: dict[str, str] = {}  # parents that left no model, and why
        self._has_built = False  # since memory was last given back
        self._cleaner = checkpoints.Cleaner()

    # -- building ---------------------------------------------------------------------------------

    def _try_build(self, hp: HyperParameters) -> Any:
        """Builds and checks a model; that of a promoted trial continues its parent's training."""
        model = self._build_fresh(hp)
        segment = segment_of(hp.values)
        if segment is None or segment.parent is None:
            return model
        parent = self.oracle.get_trial(segment.parent)
        path = Path(self._get_checkpoint_fname(segment.parent))
        path = checkpoints.of_fold(path, self._folds.current)
        self._from_scratch.pop(segment.parent, None)
        try:
            checkpoints.continue_parent(model, hp, parent, path, left_out=self._warn_once)
        except CheckpointError as error:
            self._from_scratch[segment.parent] = str(error)
            return self._build_fresh(hp)
        return model

    def _build_fresh(self, hp: HyperParameters) -> Any:
        """Builds and checks a new model."""
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
        args, kwargs = first_fold(self, self._folds, args, kwargs)
        if self._whose_training() is not None:
            return
        training.check_data(args, kwargs, self.oracle.objective.names)
        # With `fit_arguments` of the user's, Keras' `fit` gets more than `search` is given.
        if self.hypermodel is not None and not is_overridden(self.hypermodel, "fit_arguments"):
            training.check_reusable(args, kwargs)

    def _finishes_epochs(self) -> bool:
        return self._whose_training() is None

    def _next_trial(self, place: int) -> Trial | Signal:
        """The next trial; the first one runs alone if the hypermodel may add to the space in it."""
        own = first_overridden(self.hypermodel, ("fit", "fit_arguments"))
        if own and self.oracle.ongoing_trials and not self.oracle.search_state.ended:
            return Signal.WAIT
        return super()._next_trial(place)

    def _whose_training(self) -> str | None:
        """Which method of the user's trains and so says what arguments and results mean, if any."""
        own_fit = first_overridden(self.hypermodel, ("fit",))
        return first_overridden(self, TRAINING) or own_fit

    def _run_all(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Runs the trials, and lets go of the data: the next search may find others in them."""
        tell_abilities(self, why_not_saved(self, kwargs.get("callbacks") or [], args))
        try:
            elsewhere.offer(self, args, kwargs)
            if elsewhere.is_elsewhere(self.train_on):
                elsewhere.run_elsewhere(self, self.train_on, args, kwargs)
                return
            executor = self._choose_executor()
            with self._training_by(executor):
                self._run_by(executor, args, kwargs)
        finally:
            self._trainer.forget()
            self._folds.forget()

    @contextmanager
    def _training_by(self, executor: TrialExecutor) -> Iterator[None]:
        """Within the block, trials are trained as this executor needs it."""
        self._trainer.engine.one_thread = runs_side_by_side(executor)
        self._groups = executor if isinstance(executor, Groups) else None
        try:
            yield
        finally:
            self._groups = None

    def _choose_executor(self) -> TrialExecutor:
        """Who runs the trials of this search, by the tuner's settings."""
        why_one, why_not_threads = self._why_one_worker, self._why_not_threads
        if self.executor is None and not self._folds:  # else the folds of a trial are grouped
            together = count_together(self.group_trials, self.workers, why_one=why_one)
            if together > 1:
                forced, why_not = self.group_trials != "auto", why_not_threads()
                return Groups(self._trainer, together, forced=forced, why_not=why_not)
        return choose_executor(
            self.executor, self.workers, why_one=why_one, why_not_threads=why_not_threads
        )

    def _why_one_worker(self) -> str | None:
        """Why "auto" trains one trial at a time; None if several side by side are as good."""
        if self._folds:
            return "the folds of a trial are compared with those of the trials before it"
        reason = self._why_not_threads() or first_overridden(self, AROUND)
        reason = reason or first_overridden(self.oracle, ORACLE)
        if reason is None and not self.oracle.search_state.algorithm.order_independent:
            return "each trial is chosen by what came of those before it"
        return reason

    def _why_not_threads(self) -> str | None:
        """Why trainings cannot run side by side in threads: they would only take turns, or the
        user's code may keep something of a trial."""
        reason = training.why_not_fused(self.training) or first_overridden(self, TRAINING)
        if reason is None and not keeps_nothing(self.hypermodel.fit, HyperModel):
            reason = self._whose_training()
        return reason

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        """Builds and trains the trial's model `executions_per_trial` times, or once a fold of `cv`.

        Where the oracle plans the epochs of each trial, as Hyperband's does, those count, whatever
        `search` was given.

        Args:
            trial: Its `hyperparameters` go to `build` and `HyperModel.fit`.
            args: As given to `search`.
            kwargs: As given to `search`.

        Returns:
            What `HyperModel.fit` returned, one for each execution; means over the folds with `cv`.
        """
        train = functools.partial(train_folds, self._folds) if self._folds else train_trial
        try:
            return train(self, trial, args, dict(kwargs))
        except Exception as error:
            others = self._whose_training() is not None
            if not self.halve_batch_on_oom or not half_batch.may_help(
                trial, error, args, kwargs, only_given=others
            ):
                raise
        # Here the error is gone, and with it what its traceback held in memory.
        half_batch.note(trial)
        training.release()
        return train(self, trial, args, dict(kwargs))

    def _build_and_fit_model(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        """Builds one model, in its parent's state if it is promoted, and trains it."""
        args, kwargs = copied_code.spread_arguments(args, kwargs)
        hp = trial.hyperparameters
        account = self._accounts.setdefault(trial.trial_id, training.Account())
        model = built_for(self, trial, account, kwargs)
        with account.counted("fit"), note_structure(trial.notes, model):
            return self._fit(hp, model, args, kwargs, account, trial)

    def _fit(
        self,
        hp: HyperParameters,
        model: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        account: training.Account,
        trial: Trial | None = None,
    ) -> Any:
        """Trains a built model in the way that the tuner has chosen."""
        reason = first_overridden(self.hypermodel, ("fit",))
        if reason is not None:
            if trial is not None:
                args, kwargs = half_batch.applied(trial, args, kwargs, only_given=True)
            with self._trainer.inside(account, reason) as fits:
                result = self.hypermodel.fit(hp, model, *args, **kwargs)
            if not fits:
                self._trainer.refuse(f"{reason} and calls no model.fit")
            return result
        args, kwargs = fit_arguments(self, hp, model, args, kwargs, trial)
        return (self._groups or self._trainer).fit(model, args, kwargs, account)

    def _attempt(self, trial: Trial, *args: Any, **kwargs: Any) -> None:
        account, own = training.Account(), first_overridden(self, TRAINING)
        if own is not None:
            self._accounts[trial.trial_id] = account
        with self._trainer.inside(account, own):
            super()._attempt(trial, *args, **kwargs)
        if self._accounts.get(trial.trial_id) is account:
            self._tell_path(trial, account)

    def _warn_once(self, message: str) -> None:
        if message not in self._shown:
            self._shown.add(message)
            warnings.warn(message, stacklevel=2)

    def _tell_path(self, trial: Trial, account: training.Account) -> None:
        """Keeps which way the trial was trained; shows the reason the first time it is met."""
        del self._accounts[trial.trial_id]
        if not account.path and (reason := self._whose_training()) is not None:
            account.path = f"fit: {reason}"
        trial.notes.update(account.notes())
        if account.path.startswith("fit: ") and self.training not in ("fit", "fused"):
            self._show_once(f"Trained by plain {account.path}.")
        elsewhere.offer_after(self, account)
        if trial.segment and (why := self._from_scratch.get(trial.segment.parent or "")):
            reason = f"from scratch: trial {trial.segment.parent} has left no model: {why}"
            trial.notes[checkpoints.PROMOTION] = reason
            self._show_once(f"A promoted trial starts from scratch. Its model is not there: {why}")

    def _show_once(self, message: str) -> None:
        if message not in self._shown:
            self._shown.add(message)
            self._show(Message(message))

    def _hooks(self, trial: Trial) -> TunerCallback:
        """Passes epochs on to `on_epoch_begin` and `on_epoch_end`; batches only if asked for."""
        batches = first_overridden(self, ("on_batch_begin", "on_batch_end")) is not None
        return (TunerCallback if batches else EpochHooks)(self, trial)

    def _deepcopy_callbacks(self, callbacks: list[Any]) -> list[Any]:
        """Each execution gets callbacks of its own."""
        return training.copy_callbacks(callbacks, warn=self._warn_once)

    # -- hooks ------------------------------------------------------------------------------------

    def on_epoch_begin(self, trial: Trial, model: Any, epoch: int, logs: Any = None) -> None:
        """Called at the beginning of an epoch; does nothing unless you override it."""

    def on_epoch_end(self, trial: Trial, model: Any, epoch: int, logs: Any = None) -> None:
        """Called at the end of an epoch; does nothing unless you override it."""

    def on_batch_begin(self, trial: Trial, model: Any, batch: int, logs: Any) -> None:
        """Called at the beginning of a batch; does nothing unless you override it."""

    def on_batch_end(self, trial: Trial, model: Any, batch: int, logs: Any = None) -> None:
        """Called at the end of a batch; does nothing unless you override it."""

    def on_trial_end(self, trial: Trial) -> None:
        """Ends the trial, and gives back its memory and the checkpoints that nobody needs."""
        super().on_trial_end(trial)
        forget(self, trial)
        if self._has_built:
            give_back(trial)
            self._has_built = False
        clean_up(self)

    # -- models -----------------------------------------------------------------------------------

    @property
    def _winner(self) -> Winner:
        return Winner(
            state=self.oracle.search_state,
            hypermodel=self.hypermodel,
            build=self._try_build,
            fit=self._fit,
            seed=self.oracle.seed,
            load=lambda trial: load_kept(self, trial),
            validated=validation_size(*self._searched),
        )

    def retrain_best(
        self,
        x: Any,
        y: Any = None,
        *,
        validation_data: Any = None,
        validation_split: float = 0.0,
        on_all: bool = False,
        epochs: int | None = None,
        rank: int = 0,
        seed: int | None = None,
        **fit_kwargs: Any,
    ) -> Final:
        """Trains the final model anew with the best hyperparameters.

        Args:
            x: Training data.
            y: Their targets.
            validation_data: As for `fit`: to draw curves, not to choose by.
            validation_split: As for `fit`.
            on_all: Trains on training and validation data together, for the epochs that were best
                apart; then there are no validation curves. With `validation_data`, which must be
                arrays as x and y are, or with `validation_split`, which is then not split off.
            epochs: None takes as many as were best in the search.
            rank: 0 for the best configuration, 1 for the second.
            seed: Seeds the training; None takes the search's seed.
            fit_kwargs: Passed to `fit`.

        Returns:
            The model with its curves; `evaluate_best` judges it.

        Raises:
            ArgumentError: There is no such completed trial, or nothing to train on all of.
        """
        fit_kwargs |= {"validation_data": validation_data, "validation_split": validation_split}
        self._final = self._winner.retrain(
            x, y, fit_kwargs, on_all=on_all, epochs=epochs, rank=rank, seed=seed
        )
        return self._final

    def evaluate_best(
        self,
        x_test: Any,
        y_test: Any = None,
        *,
        model: Any = None,
        class_names: Sequence[str] | None = None,
        baselines: Mapping[str, float] | None = None,
        batch_size: int = 256,
    ) -> Judgement:
        """Judges the final model on data that played no part in choosing it.

        Args:
            x_test: Test data.
            y_test: Their targets; class numbers or one-hot rows for a table of the classes.
            model: What to judge; None takes the model of the last `retrain_best`, else the best
                trial's own.
            class_names: For the table.
            baselines: The metric of other models on the same test data, by name. A score of
                `random_baseline` is compared with the search's. The default configuration is added
                if the search tried it.
            batch_size: Rows evaluated at once.
        """
        final = self._final if model is None else None
        if model is None:
            model = self.get_best_models()[0] if final is None else final.model
        self._judgement = self._winner.evaluate(
            model,
            None if final is None else final.learning,
            x_test,
            y_test,
            class_names=class_names,
            baselines=baselines,
            batch_size=batch_size,
        )
        return self._judgement

    def compare_best(
        self, x: Any, y: Any = None, *, count: int = 3, seeds: int = 3, **fit_kwargs: Any
    ) -> Comparison:
        """Trains the best configurations anew with several seeds: is the first really the best?

        Args:
            x: Training data.
            y: Their targets.
            count: How many configurations.
            seeds: How often each is trained.
            fit_kwargs: Passed to `fit`; validation data must be among them, as in the search.

        Raises:
            ArgumentError: A number is below 1, or the trainings do not measure the objective.
        """
        return self._winner.compare(x, y, fit_kwargs, count=count, seeds=seeds)

    def ensemble(self, n: int = 10, **data: Any) -> Ensemble:
        """Averages the outputs of the best kept models, chosen greedily; trains nothing.

        Args:
            n: How many times a model is added; one may be added again, for more weight.
            data: `validation_data=(x, y)` to choose by, if not that of the last `search`;
                `test_data=(x, y)` to score by; `batch_size`. See `afina.tuners.ensemble`.
        """
        return ensemble_of(self, n, **data)

    def _get_checkpoint_fname(self, trial_id: str, epoch: int = 0) -> str:
        """The file of a trial's checkpoint; there is one for all epochs."""
        del epoch
        return str(Path(self.get_trial_dir(trial_id)) / training.CHECKPOINT)

    def load_model(self, trial: Trial) -> Any:
        """The trial's model as it was at its best epoch, compiled."""
        hp = trial.hyperparameters.copy()
        hp.values = without_parent(hp.values)
        model = self._try_build(hp)
        path = Path(self._get_checkpoint_fname(trial.trial_id))
        checkpoints.load_best(model, trial, path, left_out=self._warn_once)
        return model

    def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
        """Saves the model's weights and its optimizer's state as the trial's checkpoint."""
        del step
        training.save_state(model, Path(self._get_checkpoint_fname(trial_id)))
        trial_files.send(self, trial_id)

    # -- names that copied code calls -------------------------------------------------------------

    def _build_hypermodel(self, hp: HyperParameters) -> Any:
        """Builds the model, and compiles it with the optimizer, loss and metrics of the tuner."""
        with self._building(hp) as hypermodel, maybe_distribute(self.distribution_strategy):
            model = hypermodel.build(hp)
            self._override_compile_args(model)
            return model

    def _override_compile_args(self, model: Any) -> None:
        """Compiles the model anew where the tuner has an optimizer, loss or metrics of its own."""
        given = {"optimizer": self.optimizer, "loss": self.loss, "metrics": self.metrics}
        if any(part is not None for part in given.values()):
            with maybe_distribute(self.distribution_strategy):
                recompile(model, **given)
