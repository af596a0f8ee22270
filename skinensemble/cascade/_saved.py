"""A fitted cascade in a saved file."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from skinensemble.exceptions import first_few
from skinensemble.referral import Referral
from skinensemble.stage import Stage
from skinensemble.taxonomy import SIDES, malignant_mask

ROUTES = ("soft", "hard")
STAGES = ("triage", "diagnosis")


class SavedCascade:
    """How a :class:`Cascade` describes itself, and comes back."""

    def _dump(self: Any, out):
        return {
            "classes": out.labels(self.classes_),
            "malignant": out.labels(self.malignant_),
            "triage": out.estimator("triage", self.triage_),
            "diagnosis": out.estimator("diagnosis", self.diagnosis_),
            "route": self.route,
            **({"shared_members": True} if self._shares_members else {}),
            "referrals": {
                stage: out.estimator(stage, referral)
                for stage, referral in zip(STAGES, self._referrals(), strict=True)
                if referral is not None
            },
        }

    def _load(self: Any, state):
        self.classes_ = state.labels("classes")
        self.malignant_ = state.labels("malignant", least=1)
        malignant_mask(self.classes_, lambda classes: np.isin(classes, self.malignant_))
        self.triage_, self.diagnosis_ = state.estimator("triage"), state.estimator("diagnosis")
        for name, stage, classes in (
            ("triage", self.triage_, SIDES),
            ("diagnosis", self.diagnosis_, self.classes_),
        ):
            if not isinstance(stage, Stage) or not np.array_equal(stage.classes_, classes):
                raise state.fault(name, f"not a stage over {first_few(classes)}")
        referrals = state.nested("referrals")
        known = referrals.keys()
        if not known <= set(STAGES):
            raise state.fault("referrals", "not of the two stages")
        self.triage_referral_, self.diagnosis_referral_ = (
            referrals.estimator(stage) if stage in known else None for stage in STAGES
        )
        own = {
            "malignant": self.malignant_.tolist(),
            "route": state.raw("route", str),
            "refer": clone(self.triage_referral_) if self.triage_referral_ else None,
        }
        shared = "shared_members" in set(state.keys()) and state.raw("shared_members", bool)
        triage = clone(self.triage_.voting_ if shared else self.triage_)
        self.__init__(triage, clone(self.diagnosis_), **own)
        if self.route not in ROUTES or not all(
            isinstance(referral, Referral) for referral in self._referrals() if referral
        ):
            raise state.fault("route", "not a route, or the referrals are none")
        self._copy_feature_names()
