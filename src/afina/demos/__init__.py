"""The case studies: real searches from the data to the evaluated model, to run, read and copy."""

from afina.demos.data import Newswires, Pictures, load_fashion_mnist, load_reuters

__all__ = ["Newswires", "Pictures", "load_fashion_mnist", "load_reuters"]
