"""Data that come batch by batch: `tf.data`, `PyDataset`, PyTorch's `DataLoader`, generators.

    kinds         what a stream is; whether it shuffles by itself
    Reading       a finite, small stream as arrays, read once for a search          (reading)
    Streams       the arguments of `fit` with arrays in place of streams            (arguments)
    FromStreams   a trainer for arrays, with streams read for it                    (trainer)

A stream may be read once if that keeps its meaning: two passes give the same bytes, or the same
samples in another order, drawn from all of them. What augments at random, is endless or large is
left to those who train from streams.
"""

from afina.training.streams.arguments import Materialize, Streams
from afina.training.streams.kinds import is_stream
from afina.training.streams.trainer import FromStreams

__all__ = ["FromStreams", "Materialize", "Streams", "is_stream"]
