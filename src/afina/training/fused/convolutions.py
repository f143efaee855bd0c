"""Convolutions in the one layout that XLA's CPU backend computes quickly inside a loop.

XLA has a fast convolution for one layout: samples first, channels last. It brings other layouts
into that one only in the outermost part of a program, not in the body of a loop. There the
gradients of a convolution, whose layouts differ, run in plain loops and take 4 to 14 times as long.
So the transpositions that XLA would insert are written into the program before XLA sees it. The
sums are the same.

    step's jaxpr --has_convolutions--> canonical: transpose, convolve in (b 01 f), transpose back

Source: `ConvCanonicalization` of XLA's CPU backend, which walks the entry computation alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

PRIMITIVE = "conv_general_dilated"

CALLS_WITH_RULES = ("custom_jvp_call", "custom_vjp_call")
"""Calls with a derivative of their own. A train step is already differentiated when it is a jaxpr,
so what they call may be put in their place."""


def has_convolutions(closed: Any) -> bool:
    """Whether a traced function, or a function that it calls, has a convolution."""
    return any(equation.primitive.name == PRIMITIVE for equation in _equations(closed.jaxpr))


def _equations(jaxpr: Any) -> Iterator[Any]:
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from _equations(inner)


def traced_for(
    device: Any, function: Callable[..., Any], *inputs: Any, donate: Sequence[int] = ()
) -> Any:
    """Traces a function; for a CPU, with convolutions that are quick in loops too.

    Args:
        device: The device that will run it.
        function: Takes and returns trees of arrays.
        inputs: Abstract arrays.
        donate: Numbers of the arguments whose memory the program may use up.

    Returns:
        What `jax.jit(function).trace(*inputs)` returns.
    """
    import jax

    traced = jax.jit(function, donate_argnums=donate).trace(*inputs)
    if device.platform != "cpu" or not has_convolutions(traced.jaxpr):
        return traced
    return jax.jit(canonical(traced), donate_argnums=donate).trace(*inputs)


def canonical(traced: Any) -> Callable[..., Any]:
    """The function that was traced, with its convolutions in the quick layout.

    Args:
        traced: What `jax.jit(function).trace(...)` returned.

    Returns:
        A function of the same arguments, which does not hold the one that was traced.
    """
    import jax

    closed, tree = traced.jaxpr, jax.tree.structure(traced.out_info)

    def call(*args: Any) -> Any:
        outputs = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(args))
        return jax.tree.unflatten(tree, outputs)

    return call


def _evaluate(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    """Runs the equations of a jaxpr, with convolutions in the quick layout."""
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))

    def read(variable: Any) -> Any:
        return variable.val if hasattr(variable, "val") else values[variable]

    for equation in jaxpr.eqns:
        given = [read(variable) for variable in equation.invars]
        with equation.ctx.manager:
            outputs = _outputs(equation, given)
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _outputs(equation: Any, given: Sequence[Any]) -> Sequence[Any]:
    primitive, params = equation.primitive, equation.params
    if primitive.name == PRIMITIVE:
        return [_convolve(*given, **params)]
    inner = params.get("call_jaxpr")
    if primitive.name in CALLS_WITH_RULES and inner is not None and has_convolutions(inner):
        return _evaluate(inner.jaxpr, inner.consts, given)
    params = {name: _rewritten(value) for name, value in params.items()}
    bound = primitive.get_bind_params(params)
    if isinstance(bound, tuple):  # JAX before 0.9
        functions, bound = bound
        given = [*functions, *given]
    outputs = primitive.bind(*given, **bound)
    return outputs if primitive.multiple_results else [outputs]


def _rewritten(value: Any) -> Any:
    """A parameter of an equation, with convolutions in its functions in the quick layout."""
    import jax
    from jax.extend import core

    if isinstance(value, tuple):
        parts = [_rewritten(part) for part in value]
        same = all(old is new for old, new in zip(value, parts, strict=True))
        return value if same else tuple(parts)
    if isinstance(value, core.Jaxpr) and not value.constvars:
        closed = core.ClosedJaxpr(value, ())
        new = _rewritten(closed)
        return value if new is closed or new.consts else new.jaxpr
    if not isinstance(value, core.ClosedJaxpr) or not has_convolutions(value):
        return value
    shapes = [
        jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)
        for aval in value.in_avals
    ]
    return jax.make_jaxpr(lambda *args: _evaluate(value.jaxpr, value.consts, args))(*shapes)


def _convolve(left: Any, right: Any, *, dimension_numbers: Any, **options: Any) -> Any:
    """`conv_general_dilated` by way of the quick layout."""
    from jax import lax

    lefts, rights, outs = dimension_numbers
    rank = len(lefts)
    last, space = rank - 1, range(1, rank - 1)
    left = lax.transpose(left, (lefts[0], *lefts[2:], lefts[1]))
    right = lax.transpose(right, (*rights[2:], rights[1], rights[0]))
    quick = lax.ConvDimensionNumbers(
        (0, last, *space), (last, last - 1, *range(rank - 2)), (0, last, *space)
    )
    output = lax.conv_general_dilated_p.bind(left, right, dimension_numbers=quick, **options)
    back = (outs[0], *outs[2:], outs[1])
    return lax.transpose(output, [back.index(axis) for axis in range(rank)])
