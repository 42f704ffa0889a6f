"""Data: samples and mini-batches, the sets by name, their files and where to fetch them."""

from scratchnet.data.samples import Batches, Dataset, Samples
from scratchnet.data.sets import DATASETS, load

__all__ = ["DATASETS", "Batches", "Dataset", "Samples", "load"]
