"""Figures of a classifier, each with an interval that respects lesions.

Images of one lesion resemble each other, so the bootstrap draws lesions, not images [1]_. Every
figure is a function of weights: one pass computes it for all resamples at once.

References
----------
.. [1] C. A. Field, A. H. Welsh, "Bootstrapping clustered data", Journal of the Royal Statistical
   Society B 69(3), 2007. doi:10.1111/j.1467-9868.2007.00593.x
"""

from skinensemble.metrics._calibration import brier, expected_calibration_error, log_loss
from skinensemble.metrics._discrimination import (
    auc,
    confusion_figures,
    macro_auc,
    predictive_values,
)
from skinensemble.metrics._figure import Figure, lesion_weights
from skinensemble.metrics._selective import aurc, coverage_at_accuracy, risk_coverage

__all__ = [
    "Figure",
    "auc",
    "aurc",
    "brier",
    "confusion_figures",
    "coverage_at_accuracy",
    "expected_calibration_error",
    "lesion_weights",
    "log_loss",
    "macro_auc",
    "predictive_values",
    "risk_coverage",
]
