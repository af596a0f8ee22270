"""Voting ensembles of transfer-learned networks for dermatoscopic images.

``import skinensemble`` loads neither TensorFlow nor scikit-learn: names are resolved when they are
first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "BackboneFeatures": "features",
    "CalibratedVote": "voting",
    "Cascade": "cascade",
    "Certificate": "thresholds",
    "CollapsedMember": "members",
    "DenseHead": "members",
    "EarlyExitVote": "voting",
    "FeatureStore": "features",
    "GreedyVote": "voting",
    "LogitAdjustedVote": "voting",
    "MajorityVote": "voting",
    "MedianVote": "voting",
    "PowerMeanVote": "voting",
    "Prediction": "verdict",
    "PretrainedMember": "members",
    "QuorumVote": "voting",
    "RankVote": "voting",
    "Referral": "referral",
    "SearchResult": "trials",
    "SoftVote": "voting",
    "StackingVote": "voting",
    "Stage": "stage",
    "ThresholdVote": "voting",
    "TransferClassifier": "members",
    "TrimmedMeanVote": "voting",
    "Verdict": "verdict",
    "VotingRule": "voting",
    "WeightedMajorityVote": "voting",
    "cascade_around": "cascade",
    "config_context": "engines",
    "evaluate": "report",
    "get_config": "engines",
    "list_backbones": "backbones",
    "list_voting_rules": "voting",
    "load": "persistence",
    "make_candidates": "trials",
    "make_cascade": "cascade",
    "register_backbone": "backbones",
    "register_voting_rule": "voting",
    "search": "trials",
    "set_config": "engines",
}

__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
