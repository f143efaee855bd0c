"""GRU and LSTM whose steps are few calls of PyTorch, forward and back.

Keras writes a step of a sequence as a dozen operations, and the engine that finds gradients makes
two dozen of them. Here a step is six to eight operations forward, and seven to nine back. What
needs no step before it is computed for all steps at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from afina.training import keras_parts, torch_parts
from afina.training.on_torch.leaves import leaf
from afina.training.replacing import replaced

LONG = 30
"""Longest sequence that a recurrent layer may unroll: tracing takes about a tenth of a second for
each step of a sequence, and the unrolled steps are hardly quicker than Keras' own."""


def why_too_long(model: keras.Model) -> str | None:
    """Why recurrent layers would make a trace too long; None if they do not.

    Args:
        model: Perhaps built.
    """
    layers = keras_parts.layers_of(model)
    recurrent = [each for each in layers if isinstance(each, keras.layers.RNN)]
    masked = any(
        getattr(each, "mask_zero", False) or isinstance(each, keras.layers.Masking)
        for each in layers
    )
    if not recurrent or (not masked and all(map(_runs_by_few_calls, recurrent))):
        return None
    lengths = [shape[0] for shape in keras_parts.output_shapes(model) if len(shape) > 1]
    if all(length is not None and length <= LONG for length in lengths):
        return None
    return (
        "a recurrent layer has a mask, or settings other than Keras' defaults, and long sequences"
    )


def _runs_by_few_calls(layer: Any) -> bool:
    known = {keras.layers.GRU: "gru", keras.layers.LSTM: "lstm"}
    name = known.get(type(layer))
    return (
        name is not None
        and torch_parts.part(name) is not None
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.use_bias
        and getattr(layer, "reset_after", True)
        and layer.recurrent_dropout == 0
        and not layer.unroll
    )


@contextlib.contextmanager
def looping_by_few_calls() -> Iterator[None]:
    """Within the block, GRU and LSTM layers of Keras' usual activations run by few calls."""
    with contextlib.ExitStack() as stack:
        for name, instead in (("gru", _gru_instead), ("lstm", _lstm_instead)):
            plain = torch_parts.part(name)
            if plain is not None:
                module, attribute = torch_parts.module_of(name), torch_parts.PARTS[name][1]
                stack.enter_context(replaced(module, attribute, instead(plain)))
        yield


def _is_usual(kernel: Any, activation: Any, recurrent_activation: Any) -> bool:
    import torch

    return (
        activation is keras.activations.tanh
        and recurrent_activation is keras.activations.sigmoid
        and kernel.dtype == torch.float32
    )


def _gru_instead(plain: Callable[..., Any]) -> Callable[..., Any]:
    def gru(
        inputs: Any,
        initial_state: Any,
        kernel: Any,
        recurrent_kernel: Any,
        bias: Any,
        activation: Any,
        recurrent_activation: Any,
        return_sequences: bool,
    ) -> Any:
        if bias is None or not _is_usual(kernel, activation, recurrent_activation):
            return plain(
                *(inputs, initial_state, kernel, recurrent_kernel, bias),
                *(activation, recurrent_activation, return_sequences),
            )
        projected = inputs.transpose(0, 1) @ kernel + bias[0]
        states = _function(_gru_forward, _gru_back)(
            projected, recurrent_kernel, bias[1], initial_state
        )
        last = states[-1]
        outputs = states.transpose(0, 1) if return_sequences else last.unsqueeze(1)
        return last, outputs, [last]

    return gru


def _lstm_instead(plain: Callable[..., Any]) -> Callable[..., Any]:
    def lstm(
        inputs: Any,
        initial_state_h: Any,
        initial_state_c: Any,
        kernel: Any,
        recurrent_kernel: Any,
        bias: Any,
        activation: Any,
        recurrent_activation: Any,
        return_sequences: bool,
        batch_first: bool,
    ) -> Any:
        if not batch_first or not _is_usual(kernel, activation, recurrent_activation):
            return plain(
                *(inputs, initial_state_h, initial_state_c, kernel, recurrent_kernel, bias),
                *(activation, recurrent_activation, return_sequences, batch_first),
            )
        projected = inputs.transpose(0, 1) @ kernel
        if bias is not None:
            projected = projected + bias
        both = _function(_lstm_forward, _lstm_back)(
            projected, recurrent_kernel, initial_state_h, initial_state_c
        )
        states, cell = both[:-1], both[-1]
        last = states[-1]
        outputs = states.transpose(0, 1) if return_sequences else last.unsqueeze(1)
        return last, outputs, [last, cell]

    return lstm


def _function(forward: Callable[..., Any], back: Callable[..., Any]) -> Callable[..., Any]:
    """A function that PyTorch can differentiate; both ways are one call of a traced step.

    Args:
        forward: Takes tensors; returns the result, and what `back` needs.
        back: Takes the gradient of the result, what `forward` has kept, the result and the tensors;
            returns the gradients of the tensors.
    """
    import torch

    class Looped(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(context: Any, *tensors: Any) -> Any:
            result, *kept = leaf(lambda *given: forward(*given), tensors)
            context.save_for_backward(*kept, result, *tensors)
            return result

        @staticmethod
        def backward(context: Any, gradient: Any) -> Any:
            return leaf(lambda *given: back(*given), [gradient, *context.saved_tensors])

    return Looped.apply  # type: ignore[no-any-return]


# -- GRU ------------------------------------------------------------------------------------------


def _gru_forward(projected: Any, weights: Any, bias: Any, state: Any) -> tuple[Any, ...]:
    """States of all steps; then the gates, candidates and recurrent parts of candidates.

    Args:
        projected: Inputs times kernel, by step: update and reset gates, candidate.
        weights: The recurrent kernel.
        bias: Of the recurrent part.
        state: The state before the first step.
    """
    import torch

    steps, rows, _ = projected.shape
    units = weights.shape[0]
    gates = projected.new_empty(steps, rows, 2 * units)
    recurrent = torch.empty_like(projected)
    candidates = projected.new_empty(steps, rows, units)
    states = torch.empty_like(candidates)
    by_step = zip(
        *(part.unbind() for part in projected.split([2 * units, units], -1)),
        recurrent.unbind(),
        *(part.unbind() for part in recurrent.split([2 * units, units], -1)),
        gates.unbind(),
        *(part.unbind() for part in gates.split(units, -1)),
        candidates.unbind(),
        states.unbind(),
        strict=True,
    )
    for (
        to_gates,
        to_candidate,
        inner,
        of_gates,
        of_candidate,
        gate,
        z,
        r,
        candidate,
        new,
    ) in by_step:
        torch.addmm(bias, state, weights, out=inner)
        torch.add(to_gates, of_gates, out=gate)
        gate.sigmoid_()
        torch.addcmul(to_candidate, r, of_candidate, out=candidate)
        candidate.tanh_()
        torch.lerp(candidate, state, z, out=new)
        state = new
    return states, gates, candidates, recurrent[..., 2 * units :].contiguous()


def _gru_back(gradient: Any, *kept: Any) -> tuple[Any, ...]:
    """Gradients of the arguments of `_gru_forward`.

    Args:
        gradient: Of the states.
        kept: What `_gru_forward` has returned after the states, the states, and its arguments.
    """
    import torch

    gates, candidates, recurrent, states, projected, weights, _, state = kept
    units = weights.shape[0]
    z, r = gates.split(units, -1)
    before = torch.cat([state.unsqueeze(0), states[:-1]])
    to_candidate = (1 - z) * (1 - candidates * candidates)
    to_z = (before - candidates) * z * (1 - z)
    to_r = recurrent * r * (1 - r)
    inner = torch.empty_like(projected)
    of_candidates = torch.empty_like(states)
    turned, flow = weights.t().contiguous(), None
    by_step = list(
        zip(
            *(part.unbind() for part in (gradient, to_candidate, to_z, to_r, z, r)),
            inner.unbind(),
            *(part.unbind() for part in inner.split(units, -1)),
            of_candidates.unbind(),
            strict=True,
        )
    )
    for above, d_candidate, d_z, d_r, z, r, all_inner, at_z, at_r, at_candidate, of in reversed(
        by_step
    ):
        flow = above if flow is None else flow + above
        torch.mul(flow, d_candidate, out=of)
        torch.mul(flow, d_z, out=at_z)
        torch.mul(of, d_r, out=at_r)
        torch.mul(of, r, out=at_candidate)
        flow = torch.addmm(flow * z, all_inner, turned)
    of_inputs = torch.cat([inner[..., : 2 * units], of_candidates], -1)
    flat = inner.flatten(0, 1)
    return of_inputs, before.flatten(0, 1).t() @ flat, flat.sum(0), flow


# -- LSTM -----------------------------------------------------------------------------------------


def _lstm_forward(projected: Any, weights: Any, state: Any, cell: Any) -> tuple[Any, ...]:
    """States of all steps, and the last cell; then gates, cells before each step, their tangents.

    Args:
        projected: Inputs times kernel, by step: input and forget gates, candidate, output gate.
        weights: The recurrent kernel.
        state: The state before the first step.
        cell: The cell before the first step.
    """
    import torch

    steps, rows, _ = projected.shape
    units = weights.shape[0]
    gates = torch.empty_like(projected)
    cells = projected.new_empty(steps + 1, rows, units)
    tangents = projected.new_empty(steps, rows, units)
    states = projected.new_empty(steps + 1, rows, units)
    cells[0] = cell
    by_step = zip(
        projected.unbind(),
        gates.unbind(),
        gates[..., : 2 * units].unbind(),
        *(part.unbind() for part in gates.split(units, -1)),
        cells[1:].unbind(),
        tangents.unbind(),
        states.unbind()[:-1],
        strict=True,
    )
    for to_gates, gate, two, i, f, g, o, new, tangent, out in by_step:
        torch.addmm(to_gates, state, weights, out=gate)
        two.sigmoid_()
        g.tanh_()
        o.sigmoid_()
        torch.mul(f, cell, out=new)
        new.addcmul_(i, g)
        torch.tanh(new, out=tangent)
        torch.mul(o, tangent, out=out)
        state, cell = out, new
    states[-1] = cell
    return states, gates, cells[:-1].clone(), tangents


def _lstm_back(gradient: Any, *kept: Any) -> tuple[Any, ...]:
    """Gradients of the arguments of `_lstm_forward`.

    Args:
        gradient: Of the states and the last cell.
        kept: What `_lstm_forward` has returned after the states, the states, and its arguments.
    """
    import torch

    gates, cells, tangents, states, projected, weights, state, _ = kept
    units = weights.shape[0]
    i, f, g, o = gates.split(units, -1)
    before = torch.cat([state.unsqueeze(0), states[:-2]])
    to_cell = o * (1 - tangents * tangents)
    factors = (g * i * (1 - i), cells * f * (1 - f), i * (1 - g * g), tangents * o * (1 - o))
    inner = torch.empty_like(projected)
    turned, flow, of_cell = weights.t().contiguous(), None, gradient[-1]
    by_step = list(
        zip(
            gradient[:-1].unbind(),
            *(part.unbind() for part in (to_cell, f, *factors)),
            inner.unbind(),
            *(part.unbind() for part in inner.split(units, -1)),
            strict=True,
        )
    )
    for above, d_cell, f, d_i, d_f, d_g, d_o, all_inner, at_i, at_f, at_g, at_o in reversed(
        by_step
    ):
        flow = above if flow is None else flow + above
        of_cell = torch.addcmul(of_cell, flow, d_cell)
        torch.mul(of_cell, d_i, out=at_i)
        torch.mul(of_cell, d_f, out=at_f)
        torch.mul(of_cell, d_g, out=at_g)
        torch.mul(flow, d_o, out=at_o)
        of_cell = of_cell * f
        flow = all_inner @ turned
    return inner, before.flatten(0, 1).t() @ inner.flatten(0, 1), flow, of_cell
