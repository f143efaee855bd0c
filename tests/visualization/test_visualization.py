"""Figures in Python: they show what the search's facts say, with either engine."""

import math

import numpy as np
import pytest

import afina
import afina.visualization as plots
from afina.errors import ArgumentError
from afina.report import read_facts
from afina.search import Hyperband, Random


def build(hp):
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Int("layers", 1, 3)
    if hp.Choice("optimizer", ["adam", "$gd_<b>"]) == "adam":
        with hp.conditional_scope("optimizer", "adam"):
            hp.Float("beta", 0.1, 0.9)


def run(folder, algorithm, trials, objective="val_accuracy"):
    study = afina.Study(build, objective=objective, algorithm=algorithm, seed=0, storage=folder)
    for _ in range(trials):
        trial = study.ask()
        top = 0.9 - 0.1 * (math.log10(trial.values["rate"]) + 2.5) ** 2
        if trial.number == 4:
            study.tell(trial, failed="boom")
        elif objective != "val_accuracy":
            study.tell(trial, {"accuracy": top, "size": 10.0 * trial.values["layers"] + top})
        else:
            for epoch in range(trial.start_epoch, trial.end_epoch or 3):
                score = top * (1 - math.exp(-epoch - 1))
                study.report(trial, {"val_accuracy": score}, step=epoch)
            study.tell(trial)
    return study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("viz") / "mine"
    run(place, Random(0), 40).close()
    return place


@pytest.fixture(scope="module")
def rungs(tmp_path_factory):
    place = tmp_path_factory.mktemp("viz") / "rungs"
    run(place, Hyperband(max_epochs=9), 23).close()
    return place


@pytest.fixture(scope="module")
def pareto(tmp_path_factory):
    place = tmp_path_factory.mktemp("viz") / "pareto"
    objective = [afina.Objective("accuracy", "max"), afina.Objective("size", "min")]
    run(place, Random(0), 20, objective).close()
    return place


def data_of(figure):
    """All numbers that Plotly draws: (name, x, y)."""
    return {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}


def test_the_history_has_each_score_and_the_best_so_far(folder):
    facts = read_facts(folder)
    drawn = data_of(plots.plot_history(folder))
    assert sorted(drawn["each trial"][1]) == sorted(trial.score for trial in facts.completed)
    assert drawn["best so far"][1][-1] == facts.best.score


def test_the_curves_are_those_of_the_trials_and_the_best_one_is_bold(folder):
    facts = read_facts(folder)
    drawn = data_of(plots.plot_curves(folder))
    values = [value for value in drawn["all trials"][1] if value is not None]
    assert len(values) == sum(len(trial.curve) for trial in facts.trials)
    assert drawn["the best"][1] == list(facts.history["val_accuracy"])


def test_slices_are_subplots_in_the_order_that_was_asked_for(folder):
    facts = read_facts(folder)
    figure = plots.plot_slices(folder, params=["layers", "rate"])
    titles = [figure.layout[name].title.text for name in ("xaxis", "xaxis2")]
    assert titles == ["layers", "rate"]
    stars = [trace for trace in figure.data if trace.name == "the best"]
    assert [list(star.x) for star in stars] == [[facts.best.values[n]] for n in ("layers", "rate")]
    assert figure.layout.xaxis2.type == "log"


def test_parallel_coordinates_have_an_axis_for_each_name_and_for_the_score(folder):
    [drawn] = plots.plot_parallel(folder, params=["optimizer", "rate"]).data
    assert [each.label for each in drawn.dimensions] == ["optimizer", "rate", "val_accuracy"]
    assert list(drawn.dimensions[0].ticktext) == ["adam", "$gd_&lt;b&gt;"]


def test_a_contour_has_a_point_for_each_configuration_and_stays_within_the_results(folder):
    facts = read_facts(folder)
    figure = plots.plot_contour(folder, ["rate", "beta"])
    surface, points, *best = figure.data
    known = [trial for trial in facts.completed if "beta" in trial.values]
    assert sorted(points.x) == sorted(trial.values["rate"] for trial in known)
    inside = [value for row in surface.z for value in row if value is not None]
    assert min(trial.score for trial in known) <= min(inside)
    assert max(inside) <= max(trial.score for trial in known)
    assert len(best) == ("beta" in facts.best.values)


def test_choices_have_no_surface_between_them(folder):
    figure = plots.plot_contour(folder, ["optimizer", "rate"])
    assert "contour" not in [trace.type for trace in figure.data]
    assert list(figure.layout.xaxis.tickvals) == [0, 1]


def test_without_names_the_contour_takes_the_most_important_numbers(folder):
    assert plots.plot_contour(folder).layout.xaxis.title.text == "rate"


def test_importance_is_that_of_the_advice(folder):
    facts = read_facts(folder)
    seed = facts.header.seed
    found = afina.advice.advice(facts.finished, facts.space, objective=facts.objective, seed=seed)
    [bars] = plots.plot_importance(folder).data
    assert sorted(bars.x) == sorted(each.share for each in found.effects.single)
    assert all(f"{share:.0%}".replace("%", " %") in str(found) for share in bars.x)
    assert bars.y[-1] == "rate"


def test_rungs_tell_who_went_on_and_who_stopped(rungs):
    facts = read_facts(rungs)
    parents = {trial.parent for trial in facts.trials} - {None}
    drawn = data_of(plots.plot_rungs(rungs))
    scores = {trial.number: trial.score for trial in facts.completed}
    assert sorted(drawn["went on"][1]) == sorted(scores[number] for number in parents)
    assert set(drawn["trained in full"][0]) == {9}
    assert max(drawn["stopped"][0]) < 9
    assert drawn["the best"][1] == [facts.best.score]


def test_only_trainings_of_one_length_are_compared(rungs):
    facts = read_facts(rungs)
    full = [each for each in facts.configurations if each.epochs == 9]
    assert 1 < len(full) < len(facts.configurations)
    [curve] = plots.plot_edf(rungs).data
    assert sorted(set(curve.x)) == sorted({each.best.score for each in full})
    assert curve.y[-1] == 1.0


def test_searches_are_compared_by_a_curve_each(folder, rungs):
    assert [trace.name for trace in plots.plot_edf([folder, rungs]).data] == ["mine", "rungs"]


def test_the_timeline_has_a_bar_for_each_finished_trial(folder):
    facts = read_facts(folder)
    figure = plots.plot_timeline(folder)
    rows = {y: x for trace in figure.data for x, y in zip(trace.x, trace.y, strict=True)}
    assert rows == {trial.number: trial.seconds for trial in facts.finished}
    assert [list(trace.y) for trace in figure.data if trace.name == "failed"] == [[4]]


def test_the_front_is_drawn_and_several_objectives_have_their_own_figures(pareto):
    facts = read_facts(pareto)
    drawn = data_of(plots.plot_pareto(pareto))
    assert sorted(drawn["Pareto front"][1]) == sorted(facts.values_of(t)[1] for t in facts.front)
    swapped = data_of(plots.plot_pareto(pareto, ["size", "accuracy"]))
    assert sorted(swapped["Pareto front"][0]) == sorted(drawn["Pareto front"][1])
    [curve] = plots.plot_edf(pareto, objective="size").data
    assert min(curve.x) >= 10
    assert plots.plot_history(pareto).layout.yaxis.title.text == "hypervolume of the front"


@pytest.mark.first("plot_history", "plot_curves", "plot_slices", "plot_pareto")
@pytest.mark.parametrize("name", plots.__all__)
def test_matplotlib_draws_the_same_numbers(name, folder, rungs, pareto, tmp_path):
    source = {"plot_rungs": rungs, "plot_pareto": pareto}.get(name, folder)
    ours = getattr(plots, name)(source)
    figure = getattr(plots, name)(source, engine="matplotlib")
    file = tmp_path / "figure.png"
    figure.savefig(file)
    assert file.read_bytes()[:4] == b"\x89PNG"
    if name in ("plot_parallel", "plot_contour"):
        return  # drawn by other means; the file is there
    theirs = []
    for axes in figure.axes:
        theirs += [np.asarray(line.get_xdata(), dtype=float) for line in axes.lines]
        theirs += [dots.get_offsets()[:, 0] for dots in axes.collections if len(dots.get_offsets())]
        theirs += [np.array([patch.get_width()]) for patch in axes.patches]
    numbers = np.concatenate([np.ma.filled(part, np.nan).astype(float) for part in theirs])
    for trace in ours.data:
        for value in trace.x:
            if isinstance(value, int | float):
                assert np.isclose(numbers, value).any(), (trace.name, value)


def test_a_tuner_a_study_and_a_folder_give_the_same_figure(tmp_path):
    class Mine(afina.tuners.BaseTuner):
        def run_trial(self, trial, **kwargs):
            return trial.hyperparameters.Float("a", 0, 1)

    oracle = afina.oracles.RandomSearchOracle(max_trials=3, seed=0)
    tuner = Mine(oracle, directory=tmp_path, project_name="mine")
    tuner.search(verbose=0)
    study = afina.Study(build, objective="loss", algorithm=Random(0), storage=tmp_path / "s")
    study.tell(study.ask(), 1.0)
    for source, place in ((tuner, tmp_path / "mine"), (study, tmp_path / "s")):
        assert data_of(plots.plot_history(source)) == data_of(plots.plot_history(str(place)))
    study.close()


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("plot_history", {"engine": "bokeh"}, 'engine: must be "plotly" or "matplotlib"'),
        ("plot_slices", {"params": ["rat"]}, "params: must name hyperparameters that vary"),
        ("plot_contour", {"params": ["rate"]}, "must name at least two"),
        ("plot_contour", {"params": ["rate", "rate"]}, "must be two different"),
        ("plot_curves", {"objective": "loss"}, "objective: must be one of 'val_accuracy'"),
        ("plot_rungs", {}, "plot_rungs: needs trials whose training was planned in parts"),
        ("plot_pareto", {}, "plot_pareto: needs completed trials with several objectives"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_sentence(name, given, message, folder):
    with pytest.raises(ArgumentError, match=message):
        getattr(plots, name)(folder, **given)


def test_other_things_than_searches_are_refused():
    with pytest.raises(ArgumentError, match="source: must be a tuner"):
        plots.plot_history(3)


@pytest.mark.parametrize("name", plots.__all__)
def test_a_search_that_has_not_begun_says_what_is_missing(name):
    study = afina.Study(build, objective="loss", algorithm=Random(0))
    with pytest.raises(ArgumentError, match="got none yet"):
        getattr(plots, name)(study)
