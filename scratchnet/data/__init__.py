"""Data: samples and mini-batches, the sets by name, their files and where to fetch them."""

from scratchnet.data.augment import AUGMENTATIONS, Augmentation, make_augmentation
from scratchnet.data.batches import Batches
from scratchnet.data.samples import Dataset, Samples
from scratchnet.data.sets import DATASETS, load

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "Augmentation",
    "Batches",
    "Dataset",
    "Samples",
    "load",
    "make_augmentation",
]
