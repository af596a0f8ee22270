"""scikit-learn's common checks over the estimators that take 2-D data."""

from __future__ import annotations

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.estimator_checks import parametrize_with_checks

from skinensemble import Stage

# The checks call fit without lesions, and some of their data make the members themselves warn.
pytestmark = pytest.mark.filterwarnings("ignore")

MEMBERS = [("linear", LogisticRegression()), ("bayes", GaussianNB())]


@parametrize_with_checks(
    [Stage(MEMBERS, cv=2), Stage(MEMBERS[:1], cv=2)],
)
def test_common_checks(estimator, check):
    check(estimator)
