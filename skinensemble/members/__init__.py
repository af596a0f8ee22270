"""Classifiers that cast ballots: heads on features, networks on images."""

from skinensemble.members._checkpoint import CheckpointWarning
from skinensemble.members._collapsed import CollapsedMember
from skinensemble.members._dense_head import DenseHead
from skinensemble.members._pretrained import PretrainedMember
from skinensemble.members._transfer import TransferClassifier

__all__ = [
    "CheckpointWarning",
    "CollapsedMember",
    "DenseHead",
    "PretrainedMember",
    "TransferClassifier",
]
