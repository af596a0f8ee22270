"""scikit-learn's common checks over the estimators that take 2-D data."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from skinensemble import Cascade, DenseHead, Stage

# The checks call fit without lesions, and some of their data make the members themselves warn.
pytestmark = pytest.mark.filterwarnings("ignore")

MEMBERS = [("linear", LogisticRegression()), ("bayes", GaussianNB())]

NAMED = "a member's TypeError comes as a MemberError that names the member and quotes it"
EXPECTED_FAILURES = {
    Stage: {},
    Cascade: {
        "check_dtype_object": NAMED,
        "check_classifiers_train": "predict stays on the side that the triage chose, so of three"
        " classes it is not always the largest predict_proba",
    },
    DenseHead: {
        "check_sample_weight_equivalence_on_dense_data": "training runs in shuffled mini-batches,"
        " which a repeated sample and a doubled weight fill differently",
    },
}

# A network takes seconds to train: the others run with -m slow.
QUICK_FOR_A_NETWORK = {
    "check_classifiers_train",
    "check_estimators_unfitted",
    "check_n_features_in",
    "check_dict_unchanged",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_no_attributes_set_in_init",
    "check_fit2d_predict1d",
    "check_parameters_default_constructible",
}


class LastClass:
    """Of whatever labels a check brings, the last is malignant; its name is in the tests' ids."""

    def __call__(self, classes: np.ndarray) -> np.ndarray:
        return np.arange(len(classes)) == len(classes) - 1

    def __repr__(self) -> str:
        return "last_class"

    def __deepcopy__(self, memo: dict) -> LastClass:
        return self


def expected_failures(estimator) -> dict[str, str]:
    return EXPECTED_FAILURES[type(estimator)]


@parametrize_with_checks(
    [Stage(MEMBERS, cv=2), Cascade(Stage(MEMBERS, cv=2), malignant=LastClass(), random_state=0)],
    expected_failed_checks=expected_failures,
)
def test_common_checks_of_committees(estimator, check):
    check(estimator)


def checks_of_a_head():
    head = DenseHead((8,), dropout=0.0, learning_rate=0.05, batch_size=32)
    for estimator, check in estimator_checks_generator(head):
        name = check.func.__name__ if hasattr(check, "func") else check.__name__
        variant = getattr(check, "keywords", {})
        marks = [] if name in QUICK_FOR_A_NETWORK and not variant else [pytest.mark.slow]
        if name in EXPECTED_FAILURES[DenseHead]:
            reason = EXPECTED_FAILURES[DenseHead][name]
            marks.append(pytest.mark.xfail(reason=reason, strict=True))
        shown = ", ".join([name, *(f"{key}={value}" for key, value in variant.items())])
        yield pytest.param(estimator, check, id=shown, marks=marks)


def test_the_checks_that_are_named_exist():
    named = QUICK_FOR_A_NETWORK.union(*EXPECTED_FAILURES.values())
    assert [name for name in sorted(named) if not hasattr(estimator_checks, name)] == []


@pytest.mark.parametrize(("estimator", "check"), list(checks_of_a_head()))
def test_common_checks_of_a_head(estimator, check):
    check(estimator)
