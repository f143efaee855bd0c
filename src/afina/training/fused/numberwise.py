"""Optimizers that treat each number by itself, so that variables may be cut up or put together."""

from __future__ import annotations

import keras

from afina.training import keras_parts

NUMBERWISE = (
    keras.optimizers.SGD,
    keras.optimizers.RMSprop,
    keras.optimizers.Adam,
    keras.optimizers.AdamW,
    keras.optimizers.Adadelta,
    keras.optimizers.Adagrad,
    keras.optimizers.Adamax,
    keras.optimizers.Ftrl,
    keras.optimizers.Lion,
)
"""Keras' optimizers that treat each number of a variable by itself, with no regard for others.
Nadam would be one, but it keeps a variable that is not among its variables."""

MEETING = ("clipnorm", "global_clipnorm", "use_ema", "gradient_accumulation_steps")
"""Settings under which numbers meet, or which keep more than the numbers of one step."""


def is_numberwise(model: keras.Model) -> bool:
    """Whether a compiled and built model is nothing but its layers, and its optimizer updates each
    number by itself."""
    optimizer = model.optimizer
    if not keras_parts.is_stock_model(model) or type(optimizer) not in NUMBERWISE:
        return False
    rate = keras_parts.rate_of(optimizer)
    if callable(rate) and not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return False  # a function of the user's, of which nothing can be built once more
    own = vars(optimizer).keys() & {"update_step", "apply", "stateless_apply"}
    # Looked up, not asked for: asking leaves a note in the optimizer, which its key would tell.
    return not own and not any(
        getattr(optimizer, name, None) for name in MEETING + keras_parts.EXCLUSIONS
    )
