"""`HyperImageAugment`: tunes how images are augmented."""

from __future__ import annotations

from typing import Any

import keras

from afina.applications.ends import check_ends, open_input
from afina.applications.random_augment import RandomAugment, make_transform
from afina.errors import ArgumentError, wrong
from afina.space import HyperParameters
from afina.tuners.hypermodel import HyperModel

Range = tuple[float, float]


class HyperImageAugment(HyperModel):
    """A model that augments images during training, and otherwise returns them unchanged.

    Hyperparameters: `augment_layers`, the number of random transformations for each image, and
    `factor_<name>` for each transformation in `transforms` (pairs of name and bounds). If the
    argument `augment_layers` is 0, all transformations are applied in the order of the arguments.

    Args:
        input_shape: (height, width, channels).
        input_tensor: A symbolic tensor to start from, instead of `input_shape`.
        rotate: Largest rotation, in turns. A number tunes it from 0 up to that number; a pair sets
            both bounds; None, False or 0 turns the transformation off.
        translate_x: Largest horizontal shift, as a share of the width; same forms as `rotate`.
        translate_y: Largest vertical shift, as a share of the height; same forms as `rotate`.
        contrast: Largest change, as a share of the contrast; same forms as `rotate`.
        augment_layers: The most transformations for an image, from 1; a pair sets both bounds; 0
            applies all of them in a fixed order.
        kwargs: `name` and `tunable`, see `HyperModel`.

    Raises:
        ArgumentError: There is no input, or a range is wrong.
    """

    def __init__(
        self,
        input_shape: Any = None,
        input_tensor: Any = None,
        rotate: Any = 0.5,
        translate_x: Any = 0.4,
        translate_y: Any = 0.4,
        contrast: Any = 0.3,
        augment_layers: Any = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_ends(
            "HyperImageAugment",
            classes=None,
            needs_classes=False,
            input_shape=input_shape,
            input_tensor=input_tensor,
        )
        self.input_shape = input_shape
        self.input_tensor = input_tensor
        given = {
            "rotate": rotate,
            "translate_x": translate_x,
            "translate_y": translate_y,
            "contrast": contrast,
        }
        ranges = {name: _read_range(name, value) for name, value in given.items()}
        self.transforms: list[tuple[str, Range]] = [
            (name, bounds) for name, bounds in ranges.items() if bounds is not None
        ]
        self.rounds = _read_rounds(augment_layers)

    def build(self, hp: HyperParameters) -> Any:
        """Builds the model; it is not compiled."""
        inputs, x = open_input(self.input_shape, self.input_tensor)
        if self.rounds is None:
            x = self._all_in_order(hp, x)
            return keras.Model(inputs, x, name="image_augment")
        rounds = hp.Int("augment_layers", *self.rounds)
        factors = {
            name: hp.Float(f"factor_{name}", least, largest, default=least)
            for name, (least, largest) in self.transforms
        }
        for index in range(rounds if factors else 0):
            name = f"rand_augment_{index}" if index else "rand_augment"
            x = RandomAugment(factors, rounds=1, name=name)(x)
        return keras.Model(inputs, x, name="image_rand_augment")

    def _all_in_order(self, hp: HyperParameters, x: Any) -> Any:
        for name, (least, largest) in self.transforms:
            factor = hp.Float(f"factor_{name}", least, largest, step=0.05, default=least)
            if factor > 0:
                x = make_transform(name, factor)(x)
        return x


def _read_range(name: str, given: Any) -> Range | None:
    """The bounds of a factor; None for a transformation that is off."""
    if given is None or given is False:
        return None
    pair = given if isinstance(given, list | tuple) else (0.0, given)
    rule = "must be a number from 0 to 1, or a pair of them, the lower first"
    if len(pair) != 2 or not all(_is_number(bound) for bound in pair):
        raise ArgumentError(wrong(f"HyperImageAugment: {name}", rule, given))
    least, largest = float(pair[0]), float(pair[1])
    if not 0 <= least <= largest <= 1:
        raise ArgumentError(wrong(f"HyperImageAugment: {name}", rule, given))
    return (least, largest) if largest > 0 else None


def _read_rounds(given: Any) -> tuple[int, int] | None:
    """The bounds of `augment_layers`; None for a fixed order."""
    if given in (0, None):  # False as well
        return None
    pair = given if isinstance(given, list | tuple) else (1, given)
    rule = "must be a whole number from 0 up, or a pair of them from 1 up, the lower first"
    whole = len(pair) == 2 and all(isinstance(b, int) and not isinstance(b, bool) for b in pair)
    if not whole or not 1 <= pair[0] <= pair[1]:
        raise ArgumentError(wrong("HyperImageAugment: augment_layers", rule, given))
    return pair[0], pair[1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
