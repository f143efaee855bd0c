"""Ready-made hypermodels for images: networks of well-known families, and augmentation.

HyperResNet  HyperXception  HyperEfficientNet ──may start with──> HyperImageAugment
       └──────── ends.py: input and classifier          random_augment.py: its Keras layer
"""

from afina.applications.augment import HyperImageAugment
from afina.applications.efficientnet import HyperEfficientNet
from afina.applications.resnet import HyperResNet
from afina.applications.xception import HyperXception

__all__ = [
    "HyperEfficientNet",
    "HyperImageAugment",
    "HyperResNet",
    "HyperXception",
]
