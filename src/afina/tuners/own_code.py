"""Whether code of the user's keeps anything between its lines that another trial could change.

Trials that train in threads take turns in running Python: while one of them waits for a compiled
program, another builds its model and begins to train. An override of `HyperModel.fit` may meanwhile
rely on what it has put into `self` or into a global variable. One that reads and writes only its
own arguments and variables cannot, and this is read from its source: what cannot be read, or is
not understood, counts as keeping something.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
import types
from collections.abc import Iterator, Mapping
from typing import Any

PLAIN = (int, float, complex, str, bytes, type(None))
"""Values that never change."""

PACKAGES = frozenset({"afina", "builtins", "jax", "keras", "math", "numpy", "tensorflow", "torch"})
"""Packages whose functions and classes keep nothing of a trial, but what the thread has anyway."""

UNREADABLE = frozenset({"eval", "exec", "globals", "locals", "vars", "setattr", "delattr", "open"})
"""Built-in functions that may reach anything."""

_MISSING = object()


def keeps_nothing(method: Any, base: type) -> bool:
    """Whether a method uses nothing but its arguments, its variables and what never changes.

    It may call the method of the same name of `base` by `super()`.

    Args:
        method: A method of an object.
        base: The class whose method `super()` may name.

    Example:
        >>> class Net:
        ...     pass
        >>> keeps_nothing(Net().__repr__, Net)
        False
    """
    function = getattr(method, "__func__", None)
    if not isinstance(function, types.FunctionType) or hasattr(function, "__wrapped__"):
        return False
    try:
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return False
    if not isinstance(tree, ast.FunctionDef) or tree.decorator_list:
        return False
    kind = type(method.__self__)
    above = next((each for each in kind.__mro__[1:] if tree.name in vars(each)), None)
    calls_base = above is base and vars(kind).get(tree.name) is function
    return _is_closed(tree, _outside(function), may_call_base=calls_base)


def _is_closed(tree: ast.FunctionDef, outside: Mapping[str, Any], *, may_call_base: bool) -> bool:
    first = tree.args.args[0].arg if tree.args.args else ""
    own = set(_assigned(tree)) - {first}
    nodes = list(ast.walk(tree))
    made = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    supers = 0
    for node in nodes:
        if isinstance(node, ast.Global | ast.Nonlocal | ast.Import | ast.ImportFrom | ast.ClassDef):
            return False
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            if _root(node) not in own:
                return False
        elif isinstance(node, ast.Attribute):
            supers -= _is_super(node.value) and node.attr == tree.name
        elif isinstance(node, ast.Name) and node.id == "super":
            supers += 1
        elif isinstance(node, ast.Name) and node.id not in own:
            value = outside.get(node.id, _MISSING)
            makes = id(node) in made and isinstance(value, type)
            if node.id == first or not (makes or _is_plain(value)):
                return False
    return supers == 0 and (may_call_base or not any(map(_is_super, nodes)))


def _is_super(node: ast.AST) -> bool:
    """Whether it is `super()`."""
    if not isinstance(node, ast.Call) or node.args:
        return False
    return isinstance(node.func, ast.Name) and node.func.id == "super"


def _assigned(tree: ast.FunctionDef) -> Iterator[str]:
    """The names of arguments and variables, those of inner functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ExceptHandler) and node.name:
            yield node.name


def _root(node: ast.expr) -> str:
    """The name at the beginning of `a.b[c].d`; empty for what does not begin with a name."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    if getattr(value, "__name__", "") in UNREADABLE:
        return False
    if isinstance(value, PLAIN):
        return True
    if isinstance(value, types.ModuleType):
        home = value.__name__
    elif isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        home = str(value.__module__)
    else:
        return False
    return home.partition(".")[0] in PACKAGES


def _outside(function: types.FunctionType) -> dict[str, Any]:
    """What the names of a function stand for that are not its own."""
    closed: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            closed[name] = cell.cell_contents
        except ValueError:  # not filled yet
            closed[name] = _MISSING
    return {**vars(builtins), **function.__globals__, **closed}
