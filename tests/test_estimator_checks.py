"""scikit-learn's common checks over the estimators that take 2-D data."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.estimator_checks import parametrize_with_checks

from skinensemble import Cascade, DenseHead, Stage

# The checks call fit without lesions, and some of their data make the members themselves warn.
pytestmark = pytest.mark.filterwarnings("ignore")

MEMBERS = [("linear", LogisticRegression()), ("bayes", GaussianNB())]

NAMED = "a member's TypeError comes as a MemberError that names the member and quotes it"
EXPECTED_FAILURES = {
    Stage: {"check_dtype_object": NAMED},
    Cascade: {
        "check_dtype_object": NAMED,
        "check_classifiers_train": "predict stays on the side that the triage chose, so of three"
        " classes it is not always the largest predict_proba",
    },
    DenseHead: {
        "check_sample_weight_equivalence_on_dense_data": "training runs in shuffled mini-batches,"
        " which a repeated sample and a doubled weight fill differently",
        "check_methods_sample_order_invariance": "in float32 the last bits of a row depend on its"
        " place in the batch",
    },
}

QUICK_FOR_A_NETWORK = {
    "check_classifiers_train",
    "check_estimators_unfitted",
    "check_n_features_in",
    "check_fit_score_takes_y",
    "check_dict_unchanged",
    "check_estimators_nan_inf",
    "check_do_not_raise_errors_in_init_or_set_param",
}


def last_class(classes: np.ndarray) -> np.ndarray:
    """Of whatever labels a check brings, the last is malignant."""
    return np.arange(len(classes)) == len(classes) - 1


def expected_failures(estimator) -> dict[str, str]:
    return EXPECTED_FAILURES[type(estimator)]


@parametrize_with_checks(
    [Stage(MEMBERS, cv=2), Cascade(Stage(MEMBERS, cv=2), malignant=last_class)],
    expected_failed_checks=expected_failures,
)
def test_common_checks_of_committees(estimator, check):
    check(estimator)


HEAD = DenseHead((8,), dropout=0.0, learning_rate=0.05, batch_size=32)


@pytest.mark.slow
@parametrize_with_checks([HEAD], expected_failed_checks=expected_failures)
def test_common_checks_of_a_head(estimator, check):
    check(estimator)


@parametrize_with_checks([HEAD], expected_failed_checks=expected_failures)
def test_some_common_checks_of_a_head(estimator, check):
    name = getattr(check, "func", check).__name__
    if name not in QUICK_FOR_A_NETWORK:
        pytest.skip("runs with -m slow")
    check(estimator)
