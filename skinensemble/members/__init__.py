"""Classifiers that cast ballots: heads on features, and backbone with head on images."""

from skinensemble.members._dense_head import DenseHead
from skinensemble.members._transfer import TransferClassifier

__all__ = ["DenseHead", "TransferClassifier"]
