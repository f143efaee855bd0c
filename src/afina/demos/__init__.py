"""The case studies: real searches from the data to the evaluated model, to run, read and copy.

data.py (files.py, stand_ins.py) ──> reuters.py, fashion_mnist.py ──> case.py
loads the data                       describe one case study each     search, train, evaluate
                                                                      (plots.py draws)
"""

from afina.demos.data import Newswires, Pictures, load_fashion_mnist, load_reuters

__all__ = ["Newswires", "Pictures", "load_fashion_mnist", "load_reuters"]
