"""Ready-made search spaces that look at your data: dense, convolutional, and for sequences.

mlp(x, y)  cnn(x, y)  text(x, y)            dense.py, convolutional.py, sequences.py
    │  inputs.py: how to scale x;  target.py: last layer, loss and metrics for y;
    │  training.py: optimizer, learning rate, batch size
    └──> CuratedModel(body, target, training)    curated.py: a hypermodel for any tuner
"""

from afina.spaces.convolutional import cnn
from afina.spaces.curated import CuratedModel
from afina.spaces.dense import mlp
from afina.spaces.sequences import text

__all__ = ["CuratedModel", "cnn", "mlp", "text"]
