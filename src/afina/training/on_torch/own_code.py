"""Code of the user's in a step: whether each step runs it alike, so that one may be recorded.

PyTorch runs the Python code of layers, losses and metrics at each step. A recording does not. So
code of the user's is recorded only if it can neither remember nor look at anything outside of the
tensors: it assigns to locals only, and names only Keras, `math`, NumPy's functions, other such
code, and plain values. The code is read, not run. The plain values that it may look at are
`OwnCode.looked_at`: if a callback changes one, the step is recorded anew.
"""

from __future__ import annotations

import builtins
import dis
import math
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from afina.training import keras_parts, torch_parts

STORES = frozenset(
    {
        "STORE_ATTR",
        "DELETE_ATTR",
        "STORE_GLOBAL",
        "DELETE_GLOBAL",
        "STORE_SUBSCR",
        "STORE_SLICE",  # Python 3.12
        "DELETE_SUBSCR",
        "IMPORT_NAME",
        "YIELD_VALUE",
        "LOAD_NAME",
    }
)
"""Instructions that change more than a local, or look up what this module does not."""

REFUSED_NAMES = frozenset(
    {
        *("append", "extend", "insert", "pop", "popitem", "remove", "clear", "update", "add"),
        *("setdefault", "discard", "sort", "reverse", "send", "throw", "close", "write", "put"),
        *("random", "shuffle", "manual_seed", "numpy", "item", "tolist", "data", "grad"),
        *("backward", "register_hook", "requires_grad_", "add_metric", "add_weight"),
        *("__dict__", "__setattr__", "__class__", "__globals__", "stop_training", "optimizer"),
    }
)
"""Attributes of unknown objects that may change them, or come to something new at each step."""

REFUSED_STARTS = ("set_", "reset_", "clear_", "disable_", "enable_", "load_", "save_")
"""What the names of functions begin with that change settings."""

BUILTINS = frozenset(
    {
        *("abs", "all", "any", "bool", "dict", "divmod", "enumerate", "float", "int", "isinstance"),
        *("len", "list", "max", "min", "pow", "range", "reversed", "round", "set", "slice"),
        *("sorted", "str", "sum", "super", "tuple", "zip", "ValueError", "TypeError", "map"),
        *("hasattr", "callable", "NotImplementedError", "AssertionError", "complex"),
    }
)
"""Functions of Python's that neither remember nor change anything."""

OF_NUMPY = frozenset(
    {"sqrt", "exp", "log", "log2", "log10", "prod", "cos", "sin", "tan", "ceil", "floor", "power"}
)
"""Functions of NumPy's that code may name."""

NOT_IN_STEPS = frozenset(
    {
        *("__init__", "build", "get_config", "from_config", "compute_output_shape", "__repr__"),
        *("compute_output_spec", "get_build_config", "build_from_config", "reset_state"),
        *("save_own_variables", "load_own_variables", "save_assets", "load_assets"),
    }
)
"""Methods that run before the first step, or between epochs as in `fit`."""

DEEPEST = 6
"""How deep objects within objects are looked into."""


class _ImpureError(Exception):
    """Code that may do something else at each step; the message says why."""


class OwnCode(NamedTuple):
    """What reading the user's code in a model has shown."""

    impure: str | None
    """Why it cannot be recorded; None if it can, or if there is none."""

    looked_at: tuple[Any, ...]
    """The plain values that the code of a step may look at, as they are now; to be compared."""


def read_code(model: keras.Model) -> OwnCode:
    """Reads the user's code in a model.

    Args:
        model: Compiled, perhaps built.
    """
    if not keras_parts.is_stock_model(model):
        return OwnCode(f"{type(model).__name__} is a model of your own", ())
    if not keras_parts.is_kerass(type(model.optimizer)):
        return OwnCode(f"{type(model.optimizer).__name__} is an optimizer of your own", ())
    reader = _Reader(model)
    for part in _parts(model):
        try:
            reader.read(part)
        except _ImpureError as error:
            return OwnCode(f"{_name(part)} {error}, so each step may be another", ())
    return OwnCode(None, tuple(reader.values))


def _name(part: Any) -> str:
    function = getattr(part, "fn", None) or getattr(part, "_fn", None)
    if function is not None and not keras_parts.is_kerass(function):
        return str(getattr(function, "__name__", "a function"))
    return type(part).__name__


def _parts(model: keras.Model) -> Iterator[Any]:
    metrics = keras_parts.metrics_of(model)
    yield from (layer for layer in keras_parts.layers_of(model) if layer is not model)
    yield model.optimizer
    yield from keras_parts.losses_of(model)
    yield from [] if metrics is None else metrics.metrics


class _Reader:
    """Reads the parts of a model, and collects the plain values that they hold.

    Args:
        model: Compiled.
    """

    def __init__(self, model: keras.Model) -> None:
        lists = (model.variables, model.optimizer.variables, model.metrics_variables)
        self.values: list[Any] = []
        self._known = {id(variable) for variables in lists for variable in variables}
        self._seen: set[Any] = set()
        self._changes_in_place = False
        """Whether code adds to a local in place, which changes a list that it was taken from."""
        self._holds_lists = False
        self._usual = set(vars(keras.layers.Layer(name="any")))

    def read(self, part: Any) -> None:
        """Reads the code and values of one part.

        Raises:
            _ImpureError: A step may be another one each time.
        """
        self._object(part, 0)
        if self._changes_in_place and self._holds_lists:
            raise _ImpureError("holds lists or arrays and adds in place")

    def _object(self, part: Any, depth: int) -> None:
        if id(part) in self._seen:
            return
        self._seen.add(id(part))
        if depth > DEEPEST:
            raise _ImpureError("holds objects within objects")
        kind = type(part)
        own = [each for each in kind.__mro__ if not _is_known(each)]
        for each in own:
            self._class(each)
        for name, value in sorted(vars(part).items(), key=lambda pair: str(pair[0])):
            if name in self._usual and isinstance(part, keras.Layer):
                self._plain(name, value)
            elif own or not name.startswith("_inbound"):
                self._value(name, value, depth, strict=bool(own))

    def _class(self, kind: type) -> None:
        """Reads the methods of a class of the user's."""
        if kind in self._seen:
            return
        self._seen.add(kind)
        if issubclass(kind, keras.Model):
            raise _ImpureError("is a model of your own")
        for name, value in vars(kind).items():
            if name in NOT_IN_STEPS or (name.startswith("__") and not callable(value)):
                continue
            if isinstance(value, staticmethod | classmethod):
                value = value.__func__
            if isinstance(value, property):
                accessors = [each for each in (value.fget, value.fset) if each is not None]
                for each in accessors[:1]:
                    self._function(each)
            elif isinstance(value, types.FunctionType):
                self._function(value)
            elif not self._plain(name, value) and not name.startswith("__"):
                raise _ImpureError(f"holds {name}, which may change")

    def _value(self, name: str, value: Any, depth: int, *, strict: bool) -> None:
        """Reads one attribute; if not strict, of a part of Keras' own, which may hold more."""
        if self._plain(name, value) or isinstance(value, _LOOKED_AT_ELSEWHERE):
            return
        module = type(value).__module__.partition(".")[0]
        if isinstance(value, types.FunctionType | types.MethodType):
            self._function(value)
        elif isinstance(value, keras.Variable):
            if strict and id(value) not in self._known:
                raise _ImpureError(f"holds {name}, a variable that the model does not know")
        elif isinstance(value, Mapping | list | tuple | set | frozenset):
            values = value.values() if isinstance(value, Mapping) else value
            self._holds_lists |= strict and not isinstance(value, tuple)
            for each in values:
                self._value(name, each, depth, strict=strict)
        elif isinstance(value, np.ndarray):
            self._holds_lists |= strict
            self.values.append((name, value.shape, value.tobytes()))
        elif module in ("torch", "builtins", "weakref", "inspect"):
            if strict:
                raise _ImpureError(f"holds {name}, which may change")
        elif hasattr(value, "__dict__") and not isinstance(value, type | types.ModuleType):
            self._object(value, depth + 1)
        elif strict:
            raise _ImpureError(f"holds {name}, which may change")

    def _plain(self, name: str, value: Any) -> bool:
        """Notes a plain value; False if it is none."""
        if value is None or isinstance(value, bool | int | float | complex | str | np.generic):
            self.values.append((name, value))
            return True
        if isinstance(value, tuple) and all(
            each is None or isinstance(each, bool | int | float | str) for each in value
        ):
            self.values.append((name, value))
            return True
        return isinstance(value, type) and _is_known(value)

    def _function(self, function: Any) -> None:
        """Reads the code of a function, and what it names."""
        function = getattr(function, "__func__", function)
        if not isinstance(function, types.FunctionType):
            raise _ImpureError("calls what is no function of Python's")
        if torch_parts.is_written_by_keras(function) or function in self._seen:
            return
        self._seen.add(function)
        defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        for value in defaults:
            self._named("a default", value)
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in cells:
            if name != "__class__":
                self._named(name, cell.cell_contents)
        self._code(function.__code__, function.__globals__)

    def _code(self, code: types.CodeType, names: Mapping[str, Any]) -> None:
        value: Any = None
        """What the last instruction named, as far as that is known."""
        for step in dis.get_instructions(code):
            if step.opname in STORES:
                raise _ImpureError(f"does more than compute, in line {code.co_firstlineno}")
            if step.opname == "STORE_DEREF" and step.argval in code.co_freevars:
                raise _ImpureError(f"assigns to {step.argval} of an outer function")
            if step.opname.startswith("INPLACE_") or (
                step.opname == "BINARY_OP" and step.argrepr.endswith("=")
            ):
                self._changes_in_place = True
            if step.opname == "LOAD_GLOBAL":
                value = self._global(step.argval, names)
            elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"):
                value = self._attribute(step.argval, value)
            elif step.opname not in ("PRECALL", "CACHE", "PUSH_NULL", "EXTENDED_ARG"):
                value = None
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant, names)
            if isinstance(constant, tuple) and "out" in constant:
                raise _ImpureError("gives a function an array to write to")

    def _global(self, name: str, names: Mapping[str, Any]) -> Any:
        if name in names:
            value = names[name]
            self._named(name, value)
            return value
        if name not in BUILTINS or not hasattr(builtins, name):
            raise _ImpureError(f"calls {name}")
        return None

    def _attribute(self, name: str, owner: Any) -> Any:
        """What an attribute is, if its owner is a module or class; else None."""
        if isinstance(owner, types.ModuleType | type) and hasattr(owner, name):
            value = getattr(owner, name)
            if isinstance(owner, types.ModuleType) and not _is_of_keras(owner) and name == "random":
                raise _ImpureError("draws random numbers outside of Keras")
            if not name.startswith(REFUSED_STARTS):
                self._named(name, value)
                return value
        if name in REFUSED_NAMES or name in NOT_IN_STEPS or name.startswith(REFUSED_STARTS):
            raise _ImpureError(f"names {name}")
        return None

    def _named(self, name: str, value: Any) -> None:
        """Looks at what code names: a module, class, function or plain value."""
        if isinstance(value, types.ModuleType):
            if not _is_of_keras(value) and value not in (math, np):
                raise _ImpureError(f"uses the module {value.__name__}")
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif self._plain(name, value) or keras_parts.is_kerass(value) or _is_of_math(name, value):
            return
        elif isinstance(value, type) and issubclass(value, keras.Layer):
            return  # for `super(Kind, self)`; its methods are read with its instances
        elif not keras_parts.is_kerass(type(value)) or isinstance(value, keras.Variable):
            raise _ImpureError(f"uses {name}, which may change")


_LOOKED_AT_ELSEWHERE = (
    keras.Layer,  # a part by itself
    keras.Initializer,  # done when the first step begins
    keras.random.SeedGenerator,  # its state is a variable
    keras.KerasTensor,
)


def _is_known(kind: Any) -> bool:
    """Whether a class is Keras', PyTorch's or Python's own."""
    module = str(getattr(kind, "__module__", ""))
    return module.partition(".")[0] in ("keras", "torch", "builtins", "abc", "typing")


def _is_of_math(name: str, value: Any) -> bool:
    """Whether a function is of the module `math`, or one of NumPy's that only computes."""
    of_numpy = getattr(np, name, None) is value and name in OF_NUMPY
    return of_numpy or getattr(value, "__module__", "") == "math"


def _is_of_keras(module: types.ModuleType) -> bool:
    return module.__name__.partition(".")[0] == "keras"
