"""Random hyperparameters and search spaces, for Hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from afina.space import Boolean, Choice, Fixed, Float, HyperParameter, Int, Parent, Space

SAMPLINGS = st.sampled_from(["linear", "log", "reverse_log"])


@st.composite
def ints(draw: st.DrawFn, name: str = "n", conditions: tuple[Parent, ...] = ()) -> Int:
    """Whole numbers of every sampling, with a step or none."""
    sampling = draw(SAMPLINGS)
    low = draw(st.integers(1 if sampling != "linear" else -50, 50))
    high = low + draw(st.integers(0, 200))
    step = draw(st.none() | st.integers(2 if sampling != "linear" else 1, 7))
    return Int(name, low, high, step, sampling, conditions=conditions)


@st.composite
def floats(
    draw: st.DrawFn, name: str = "r", conditions: tuple[Parent, ...] = (), stepped: bool = False
) -> Float:
    """Real numbers of every sampling, with a step or none."""
    sampling = draw(SAMPLINGS)
    if sampling == "linear":
        low = draw(st.integers(-30, 30)) / 10
        step = draw(st.sampled_from([0.1, 0.05, 0.3, 1 / 3, 1, 2.5]))
    else:
        low = draw(st.sampled_from([1e-6, 1e-3, 0.1, 0.7, 3.0]))
        step = draw(st.sampled_from([1.5, 2, 10]))
    high = low + draw(st.integers(0, 40)) / 10
    chosen = step if stepped or draw(st.booleans()) else None
    return Float(name, low, high, chosen, sampling, conditions=conditions)


@st.composite
def choices(draw: st.DrawFn, name: str = "c", conditions: tuple[Parent, ...] = ()) -> Choice:
    """Choices of every kind, some with None among their values."""
    kind: st.SearchStrategy[Any] = draw(
        st.sampled_from(
            [st.integers(-9, 9), st.sampled_from("abcdef"), st.booleans(), st.floats(-1, 1)]
        )
    )
    values = draw(st.lists(kind, min_size=1, max_size=5, unique=True))
    if draw(st.booleans()):
        values.insert(draw(st.integers(0, len(values))), None)
    ordered = None
    if None not in values and all(type(v) in (int, float) for v in values):
        ordered = draw(st.none() | st.booleans())
    return Choice(name, values, ordered=ordered, conditions=conditions)


def entries(
    name: str, conditions: tuple[Parent, ...] = (), continuous: bool = True
) -> st.SearchStrategy[HyperParameter]:
    """Hyperparameters of all kinds.

    Args:
        name: Their name.
        conditions: Theirs.
        continuous: Whether real numbers may be without a step.
    """
    return st.one_of(
        ints(name, conditions),
        floats(name, conditions, stepped=not continuous),
        choices(name, conditions),
        st.booleans().map(lambda default: Boolean(name, default, conditions=conditions)),
        st.sampled_from([3, 0.5, "x", True]).map(lambda v: Fixed(name, v, conditions=conditions)),
    )


@st.composite
def spaces(draw: st.DrawFn, max_entries: int = 6, continuous: bool = True) -> Space:
    """Search spaces with nested conditions, some with one name under several conditions."""
    found: list[HyperParameter] = []
    for number in range(draw(st.integers(1, max_entries))):
        conditions: tuple[Parent, ...] = ()
        if found and draw(st.booleans()):
            parent = draw(st.sampled_from(found))
            values = draw(st.lists(st.sampled_from(parent.values), min_size=1, max_size=3))
            nested = parent.conditions if draw(st.booleans()) else ()
            conditions = (*nested, Parent(parent.name, values))
        names = [f"p{number}"]
        if conditions:
            taken = {(entry.name, entry.conditions) for entry in found}
            above = {condition.name for condition in conditions}
            names += [
                e.name for e in found if e.name not in above and (e.name, conditions) not in taken
            ]
        name = draw(st.sampled_from(names))
        found.append(draw(entries(name, conditions, continuous)))
    return Space(tuple(found))
