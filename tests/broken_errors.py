"""Exceptions that are hard to describe: each as a function that returns one, by name."""

# ruff: noqa: N818

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

HUGE = 50 * 10**6


class RaisingText(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError("in __str__")

    __repr__ = __str__


class LeavingText(RuntimeError):
    def __str__(self) -> str:
        raise SystemExit(3)


class NoText(Exception):
    def __str__(self) -> Any:
        return None


class EndlessText(Exception):
    def __str__(self) -> str:
        return str(self)


class BrokenStr(str):
    def __len__(self) -> int:
        raise ValueError("in __len__")

    def __str__(self) -> str:
        raise ValueError("in __str__ of a text")


class TextOfAnotherKind(Exception):
    def __str__(self) -> str:
        return BrokenStr("odd")


class RaisingAttributes(Exception):
    @property
    def __notes__(self) -> Any:
        raise KeyError("notes")

    @property
    def __cause__(self) -> Any:  # type: ignore[override]
        raise KeyError("cause")

    @property
    def __traceback__(self) -> Any:  # type: ignore[override]
        raise KeyError("traceback")

    @property
    def __class__(self) -> Any:
        raise KeyError("class")


class RaisingName(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__name__", "__qualname__", "__module__"):
            raise OSError(name)
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=RaisingName):
    pass


class Unreducible(Exception):
    def __reduce__(self) -> Any:
        raise SystemExit("in __reduce__")


class BecomesAText(Exception):
    def __reduce__(self) -> Any:
        return str, ("no exception",)


class RaisesWhenMade(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class RaisingMembers(ExceptionGroup[Exception]):
    @property
    def exceptions(self) -> Any:
        raise RuntimeError("exceptions")


class OwnBase(BaseException):
    pass


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def own_cause() -> BaseException:
    error = ValueError("its own cause")
    error.__cause__ = error
    return error


def circle() -> BaseException:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    first.__context__, second.__context__ = second, first
    return first


def chain(length: int) -> BaseException:
    error: BaseException = ValueError("the root of it")
    for number in range(length):
        effect = RuntimeError(f"effect {number}")
        effect.__cause__ = error
        error = effect
    return error


def noted(notes: Any) -> BaseException:
    error = ValueError("noted")
    error.__notes__ = notes
    return error


def nested_group(depth: int, leaf: Exception) -> BaseException:
    error: Exception = leaf
    for number in range(depth):
        error = ExceptionGroup(f"level {number}", [error])
    return error


def wide_group() -> BaseException:
    return ExceptionGroup("wide", [ValueError(f"member {n}") for n in range(3000)])


def deep_recursion() -> BaseException:
    def down(n: int) -> int:
        return up(n + 1)

    def up(n: int) -> int:
        return down(n + 1)

    try:
        down(0)
    except RecursionError as error:
        return error
    raise AssertionError("unreachable")


def odd_syntax_error() -> BaseException:
    error = SyntaxError("odd")
    error.lineno, error.offset, error.text, error.filename = "one", b"two", 3, ["four"]  # type: ignore
    return error


def with_a_lock() -> BaseException:
    error = ValueError("locked")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    return error


BROKEN: dict[str, Callable[[], BaseException]] = {
    "raised from itself": own_cause,
    "a circle of causes": circle,
    "a chain of 2,000": lambda: chain(2000),
    "a chain of 100,000": lambda: chain(100_000),
    "__str__ raises": lambda: RaisingText(),
    "__str__ exits": lambda: LeavingText(),
    "__str__ returns None": lambda: NoText(),
    "__str__ never ends": lambda: EndlessText(),
    "__str__ returns a broken text": lambda: TextOfAnotherKind(),
    "an argument whose repr raises": lambda: ValueError(RaisingText(), 1),
    "its attributes raise": lambda: RaisingAttributes("odd"),
    "its class has no name": lambda: Nameless("nameless"),
    "cannot be pickled": with_a_lock,
    "__reduce__ exits": lambda: Unreducible("unreducible"),
    "unpickles to a text": lambda: BecomesAText("odd"),
    "cannot be unpickled": lambda: RaisesWhenMade(1, 2),
    "a note that is a number": lambda: noted([1, None, RaisingText()]),
    "notes that are no list": lambda: noted(7),
    "notes that are a text": lambda: noted("a note"),
    "100,000 notes": lambda: noted(["note"] * 100_000),
    "a group": lambda: raised(ExceptionGroup("both", [ValueError("one"), KeyError("two")])),
    "a group of 3,000": wide_group,
    "groups nested 2,000 deep": lambda: nested_group(2000, ValueError("leaf")),
    "a group whose members raise": lambda: RaisingMembers("odd", [ValueError("one")]),
    "50 MB": lambda: ValueError("x" * HUGE),
    "50 MB of a RuntimeError": lambda: RuntimeError("x" * HUGE),
    "50 MB of lines": lambda: ValueError("line\n" * (HUGE // 5)),
    "50 MB in a cause": lambda: raised(ValueError("short"), ValueError("x" * HUGE)),
    "50 MB in a note": lambda: noted(["x" * HUGE]),
    "lone surrogates": lambda: ValueError("a\ud800b\udfff"),
    "NULs and other control characters": lambda: ValueError("a\0b\x1b[2Jc\x7f\x9b\r"),
    "only colours": lambda: ValueError("\x1b[1m\x1b[0m"),
    "deep recursion": deep_recursion,
    "a SyntaxError of odd parts": odd_syntax_error,
    "a SyntaxError": lambda: raised(SyntaxError("odd", ("a.py", 1, 2, "x = =", 1, 3))),
    "a BaseException": lambda: OwnBase("own"),
    "SystemExit": lambda: SystemExit(3),
    "GeneratorExit": lambda: GeneratorExit(),
    "nothing to say": lambda: ValueError(),
}
