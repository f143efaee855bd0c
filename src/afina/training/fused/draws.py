"""Random numbers of a program without loops of their own, on a CPU.

JAX has a CPU compute the rounds of its generator in a loop: for each dropout layer eleven pieces
for XLA to compile, which go through memory ten times. Written out, the rounds are one piece, and
the numbers are the same to the bit.

Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
"""Bits by which Threefry-2x32 rotates, in turn for four rounds each."""

PARITY = 0x1BD11BDA
"""What the third key is made with."""


def options_of_lowering(platform: str) -> dict[str, Any]:
    """What a traced function's `lower` is to be given on a platform; nothing if JAX has not got the
    parts for it."""
    if platform != "cpu":
        return {}
    import jax

    if "_private_parameters" not in inspect.signature(jax.stages.Traced.lower).parameters:
        return {}
    try:
        from jax._src.interpreters.mlir import LoweringParameters
        from jax.extend.random import threefry2x32_p
        from jax.interpreters.mlir import lower_fun

        rule = lower_fun(threefry, multiple_results=True)
        return {
            "_private_parameters": LoweringParameters(
                override_lowering_rules=((threefry2x32_p, rule),)
            )
        }
    except (AttributeError, ImportError, TypeError):
        return {}


def threefry(key1: Any, key2: Any, left: Any, right: Any) -> tuple[Any, Any]:
    """Threefry-2x32 with 20 rounds, written out.

    Args:
        key1: The first half of the key, of 32 bits; `key2` is the second one.
        key2: See `key1`.
        left: The first halves of the counters; `right` are the second ones.
        right: See `left`.
    """
    keys = key1, key2, key1 ^ key2 ^ np.uint32(PARITY)
    left, right = left + keys[0], right + keys[1]
    for number in range(1, 6):
        for bits in ROTATIONS[(number - 1) % 2]:
            left = left + right
            rotated = (right << np.uint32(bits)) | (right >> np.uint32(32 - bits))
            right = left ^ rotated
        left = left + keys[number % 3]
        right = right + keys[(number + 1) % 3] + np.uint32(number)
    return left, right
