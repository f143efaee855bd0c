"""Makes `import keras_tuner` mean Afina, for packages that you cannot edit.

Import it before them:

    import afina.as_keras_tuner
    import autokeras

`kerastuner`, and all submodules such as `keras_tuner.engine.oracle` and `keras_tuner.src.tuners`,
mean Afina's as well. Keras Tuner itself need not be installed.

Raises:
    ArgumentError: Keras Tuner has been imported before.
"""

from __future__ import annotations

import sys

import afina
from afina.alias import Alias
from afina.errors import ArgumentError, wrong

PACKAGES = ("keras_tuner", "kerastuner")

for _name in PACKAGES:
    if sys.modules.get(_name, afina) is not afina:
        raise ArgumentError(
            wrong(
                "afina.as_keras_tuner",
                "must be imported before Keras Tuner",
                f"{_name} imported already",
                "Move the line to the top of your program.",
            )
        )
Alias(PACKAGES).install()
