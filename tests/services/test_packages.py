"""Packages built on Keras Tuner, run on Afina through `import afina.as_keras_tuner`.

They are no dependency of Afina: where one is not installed, its tests are skipped. `make
test-services SERVICES="--only packages"` installs them, without their own dependencies.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ORACLES = {
    "cma_es_algorithm": "CMAESAlgorithmOracle",
    "differential_evolution": "DifferentialEvolutionOracle",
    "harmony_search": "HarmonySearchOracle",
    "simulated_annealing_search": "SimulatedAnnealingSearchOracle",
    "sin_cosine_algorithm": "SinCosineAlgorithmOracle",
    "tabu_search": "TabuSearchOracle",
    "variable_depth_search": "VariableDepthSearchOracle",
}

ASK_AND_TELL = """
import inspect, sys
import afina.as_keras_tuner
import keras_tuner
module, name, folder = sys.argv[1:]
cls = getattr(__import__(f"keras_tuner_extensionpack.{module}", fromlist=[name]), name)
assert issubclass(cls, __import__("afina").Oracle)
hp = keras_tuner.HyperParameters()
hp.Choice("a", [1, 2])
hp.Int("b", 3, 10)
hp.Float("c", 0, 1, 0.1)
hp.Fixed("d", 7)
sizes = {"trials_size": 20, "population_size": 6}
known = inspect.signature(cls).parameters
oracle = cls(
    objective=keras_tuner.Objective("score", "max"),
    hyperparameters=hp,
    seed=3,
    **{key: value for key, value in sizes.items() if key in known},
)
oracle.verbose = 0
oracle._set_project_dir(folder, "project")
for number in range(10):
    trial = oracle.create_trial("client")
    assert trial.status == "RUNNING", trial
    oracle.update_trial(trial.trial_id, {"score": trial.hyperparameters.get("b")})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
oracle.save()
values = {str(trial.hyperparameters.values) for trial in oracle.trials.values()}
print(len(oracle.trials), len(values))
"""

AUTOKERAS = """
import sys
import afina.as_keras_tuner
import afina, autokeras, numpy, tree
from autokeras.utils import data_utils
# AutoKeras 3.0.0 gives Dense a NumPy integer, which newer releases of Keras refuse.
data_utils.dataset_shape = lambda data: tree.map_structure(
    lambda array: numpy.array(array.shape, dtype=object), data
)
tuner, folder = sys.argv[1:]
rng = numpy.random.default_rng(0)
x = rng.random((64, 8), dtype="float32")
y = (x[:, 0] > 0.5).astype("int32")
entrance = autokeras.Input(shape=(8,))
leave = autokeras.ClassificationHead(num_classes=2)(autokeras.DenseBlock()(entrance))
model = autokeras.AutoModel(
    inputs=entrance, outputs=leave, max_trials=2, tuner=tuner, directory=folder, seed=1
)
model.fit(x, y, epochs=1, verbose=0, validation_split=0.25)
assert isinstance(model.tuner, afina.Tuner)
trials = model.tuner.oracle.trials.values()
names = {name for trial in trials for name in trial.hyperparameters.values}
assert "dense_block_1/num_layers" in names, names
assert model.export_model().count_params() > 0
print(len(trials), sorted(trial.status for trial in trials))
"""


def run(code: str, *arguments: str) -> str:
    environment = {"KERAS_BACKEND": "jax", **os.environ}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=900,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def needs(package: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed")


@needs("keras_tuner_extensionpack")
@pytest.mark.parametrize("module", ORACLES)
def test_an_oracle_package_chooses_trials(module: str, tmp_path: Path) -> None:
    trials, different = run(ASK_AND_TELL, module, ORACLES[module], str(tmp_path)).split()[-2:]
    assert int(trials) == 10
    assert int(different) > 2


@needs("autokeras")
@pytest.mark.parametrize("tuner", ["greedy", "random", "bayesian", "hyperband"])
def test_autokeras_searches_and_exports_its_best_model(tuner: str, tmp_path: Path) -> None:
    assert run(AUTOKERAS, tuner, str(tmp_path)).splitlines()[-1] == "2 ['COMPLETED', 'COMPLETED']"
