"""Other names for Afina's modules: the paths under which Keras Tuner has them."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

# Where a module of Keras Tuner is called otherwise here.
RENAMED = {
    "api_export": "src.api_export",
    "engine.hyperparameters.hyperparameter": "engine.hyperparameters",
    "engine.hyperparameters.hyperparameters": "engine.hyperparameters",
    **{
        f"engine.hyperparameters.hp_types.{kind}_hp": "engine.hyperparameters.hp_types"
        for kind in ("boolean", "choice", "fixed", "float", "int")
    },
    "tuners.bayesian": "tuners.bayesian_optimization",
    "tuners.gridsearch": "tuners.grid_search",
    "tuners.randomsearch": "tuners.random_search",
    "tuners.sklearn": "tuners.sklearn_tuner",
    "utils": "tuners.copied_files",
}


class Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports `<package>.x.y` as `afina.x.y`, the same module object.

    Args:
        packages: The packages whose names mean Afina.
    """

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = tuple(packages)
        self._specs: dict[str, importlib.machinery.ModuleSpec | None] = {}

    def install(self) -> None:
        """From now on these names are imported so; a second alias of the same is no harm."""
        finders: list[object] = [*sys.meta_path]
        if not any(isinstance(each, Alias) and each.packages == self.packages for each in finders):
            sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Where the module is, if Afina has it."""
        del path, target
        home = self._home_of(fullname)
        if home is None or home == fullname:  # the latter lies where its name says
            return None
        try:
            if importlib.util.find_spec(home) is None:
                return None
        except ModuleNotFoundError:  # not even what it would lie in
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """The module itself; the import system writes the alias' spec into it."""
        home = self._home_of(spec.name)
        assert home is not None
        module = importlib.import_module(home)
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run already: only gives it its own spec back."""
        alias = module.__spec__
        if alias is not None and alias.name in self._specs:
            module.__spec__ = self._specs.pop(alias.name)

    def _home_of(self, fullname: str) -> str | None:
        if (rest := fullname.removeprefix("afina.")) in RENAMED:  # `from afina.tuners import ...`
            return f"afina.{RENAMED[rest]}"
        for package in self.packages:
            if fullname == package:
                return "afina"
            if fullname.startswith(f"{package}."):
                rest = fullname.removeprefix(f"{package}.")
                if rest == "src":
                    return "afina.src"
                hidden = rest.startswith("src.") or package.endswith(".src")
                rest = rest.removeprefix("src.")
                if hidden and rest.partition(".")[0] == "backend":  # `afina.backend` is another
                    return f"afina.src.{rest}"
                return f"afina.{RENAMED.get(rest, rest)}"
        return None
