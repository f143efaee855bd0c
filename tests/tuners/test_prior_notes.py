"""Which trials of a tuner say that a prior has moved them."""

import afina as kt


class Told(kt.engine.base_tuner.BaseTuner):
    """Trains nothing: the loss follows from the values."""

    def run_trial(self, trial, *args, **kwargs):
        return {"val_loss": trial.hyperparameters.get("share")}


class Turned(kt.oracles.BayesianOptimization):
    """Changes what the algorithm proposes."""

    def populate_space(self, trial_id):
        answer = super().populate_space(trial_id)
        return {**answer, "values": {**answer["values"], "share": 0.25}}


def build(hp):
    hp.Float("rate", 1e-4, 1e-1, sampling="log", prior=1e-3)
    hp.Float("share", 0.0, 1.0)


def notes_of(place, kind):
    oracle = kt.oracles.BayesianOptimization if kind is None else kind
    made = oracle(objective=kt.Objective("val_loss", "min"), seed=0, max_trials=2)
    tuner = Told(made, build, directory=str(place))
    tuner.search(1, verbose=0)
    return [trial.notes.get("prior") for trial in tuner.oracle.search_state.trials.values()]


def test_a_trial_of_a_tuner_says_which_prior_moved_it(tmp_path):
    assert notes_of(tmp_path, None) == [None, "rate (given): counts 100%"]


def test_values_that_an_oracle_has_changed_are_not_said_to_be_the_priors(tmp_path):
    assert notes_of(tmp_path, Turned) == [None, None]
