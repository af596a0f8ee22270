"""Thresholds: with a finite-sample promise, or the best by a criterion; a lesion counts once.

A threshold that misses 5 % of the malignant lesions it was tuned on breaks the promise of 95 %
sensitivity more than half of the time on the next ones. The umbrella rule [1]_ picks the largest
threshold whose misses among *m* malignant lesions still prove the promise at a stated confidence.

References
----------
.. [1] X. Tong, Y. Feng, J. J. Li, "Neyman-Pearson classification algorithms and NP receiver
   operating characteristics", Science Advances 4(2), 2018. doi:10.1126/sciadv.aao1659
"""

from __future__ import annotations

from skinensemble.thresholds._bounds import (
    allowed_misses,
    exact_interval,
    lesions_needed,
    sensitivity_bound,
)
from skinensemble.thresholds._certificate import Certificate, certify_threshold
from skinensemble.thresholds._lesions import lesion_scores
from skinensemble.thresholds._tune import tune_threshold

__all__ = [
    "Certificate",
    "allowed_misses",
    "certify_threshold",
    "exact_interval",
    "lesion_scores",
    "lesions_needed",
    "sensitivity_bound",
    "tune_threshold",
]
