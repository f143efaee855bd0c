"""`import afina.as_keras_tuner`: packages that import Keras Tuner get Afina, in a new process."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.service


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_keras_tuner_and_kerastuner_mean_afina_with_all_their_modules() -> None:
    run(
        "import afina, afina.as_keras_tuner\n"
        "import keras_tuner, kerastuner, keras_tuner as kt\n"
        "assert keras_tuner is kerastuner is kt is afina\n"
        "import keras_tuner.engine.oracle\n"
        "assert keras_tuner.engine.oracle.Oracle is afina.Oracle\n"
        "from keras_tuner.engine import hyperparameters, trial as trial_module\n"
        "assert hyperparameters.HyperParameters is afina.HyperParameters\n"
        "from keras_tuner.src.engine.trial import TrialStatus\n"
        "assert TrialStatus is trial_module.TrialStatus\n"
        "from keras_tuner.src.engine.hyperparameters.hyperparameters import HyperParameters\n"
        "from keras_tuner.engine.hyperparameters.hp_types.int_hp import Int\n"
        "from keras_tuner.engine.hyperparameters import hp_types\n"
        "assert hp_types.Int is Int and HyperParameters is afina.HyperParameters\n"
        "from keras_tuner.src.tuners import bayesian\n"
        "from keras_tuner.tuners.randomsearch import RandomSearch\n"
        "assert RandomSearch is afina.RandomSearch\n"
        "from keras_tuner.src.api_export import keras_tuner_export\n"
        "assert keras_tuner_export('keras_tuner.X')(int) is int\n"
        "from kerastuner.engine.base_tuner import BaseTuner\n"
        "from keras_tuner.applications import HyperResNet\n"
        "from keras_tuner.src.backend import keras, config\n"
        "from keras_tuner.src.backend.keras import layers\n"
        "from keras_tuner.src import utils\n"
        "assert layers is keras.layers and utils.to_list(1) == [1]\n"
    )


def test_modules_keep_their_own_names_and_specs() -> None:
    out = run(
        "import afina.as_keras_tuner, keras_tuner.engine.trial as trial, keras_tuner\n"
        "print(keras_tuner.__spec__.name, trial.__spec__.name, trial.__name__)\n"
        "import importlib; importlib.reload(trial)"
    )
    assert out.split() == ["afina", "afina.engine.trial", "afina.engine.trial"]


def test_what_afina_does_not_have_is_no_module() -> None:
    run(
        "import afina.as_keras_tuner\n"
        "for name in ('keras_tuner.nonsense', 'keras_tuner.src.nonsense.deeper'):\n"
        "    try: __import__(name)\n"
        "    except ModuleNotFoundError: continue\n"
        "    raise SystemExit(name)\n"
    )


def test_the_path_src_exists_without_the_hook() -> None:
    run(
        "import afina, afina.src.engine.trial\n"
        "from afina.src.engine import oracle\n"
        "from afina.src.tuners.gridsearch import GridSearchOracle\n"
        "assert oracle.Oracle is afina.Oracle\n"
        "assert afina.src.engine.trial is afina.engine.trial\n"
        "import sys; assert 'keras_tuner' not in sys.modules\n"
    )


def test_the_hook_alone_loads_no_keras() -> None:
    run("import sys, afina.as_keras_tuner, keras_tuner\nassert 'keras' not in sys.modules")


def test_a_hook_that_comes_too_late_says_so() -> None:
    out = run(
        "import sys, types\n"
        "sys.modules['keras_tuner'] = types.ModuleType('keras_tuner')\n"
        "try: import afina.as_keras_tuner\n"
        "except ValueError as error: print(error)\n"
    )
    assert "must be imported before Keras Tuner" in out


@pytest.mark.parametrize("times", [1, 2])
def test_importing_the_hook_again_changes_nothing(times: int) -> None:
    code = "import importlib, sys, afina.as_keras_tuner as hook\n"
    code += "importlib.reload(hook)\n" * times
    run(code + "assert sum(type(each).__name__ == 'Alias' for each in sys.meta_path) == 1")
