"""Ready-made search spaces that look at your data: dense, convolutional, and for sequences."""

from afina.spaces.convolutional import cnn
from afina.spaces.curated import CuratedModel
from afina.spaces.dense import mlp
from afina.spaces.sequences import text

__all__ = ["CuratedModel", "cnn", "mlp", "text"]
