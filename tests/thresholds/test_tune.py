from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, fbeta_score

from skinensemble.exceptions import InputError
from skinensemble.thresholds import tune_threshold

COSTS = [[0, 1], [20, 0]]
# Criterion → what it is worth, as scikit-learn counts it.
WORTH = {
    "youden": lambda y, found: 2 * balanced_accuracy_score(y, found) - 1,
    "f1": lambda y, found: fbeta_score(y, found, beta=1),
    "f2": lambda y, found: fbeta_score(y, found, beta=2),
    "f0.5": lambda y, found: fbeta_score(y, found, beta=0.5),
    "costs": lambda y, found: -np.sum(confusion_matrix(y, found) * COSTS),
}


@pytest.mark.parametrize("name", WORTH)
@given(seed=st.integers(0, 10_000))
def test_no_threshold_is_worth_more(name, seed):
    rng = np.random.default_rng(seed)
    y = np.arange(24) % 3 == 0
    scores = np.round(rng.random(24) + 0.4 * y, 1)
    best = tune_threshold(scores, y, COSTS if name == "costs" else name)
    worth = {t: WORTH[name](y, scores >= t) for t in np.unique(scores)}
    assert worth[best] == pytest.approx(max(worth.values()))
    # Of equals, the one that misses least.
    assert best == min(t for t in worth if worth[t] > max(worth.values()) - 1e-9)


def test_a_function_of_ones_own_is_the_same_as_the_name():
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3 == 0
    scores, lesions = rng.random(150) + 0.3 * y, np.arange(150) // 3 * 3 + np.arange(150) % 3
    own = functools.partial(fbeta_score, beta=2)
    assert tune_threshold(scores, y, own, groups=lesions) == tune_threshold(
        scores, y, "f2", groups=lesions
    )


def test_a_function_is_asked_a_limited_number_of_times():
    rng, asked = np.random.default_rng(0), []
    tune_threshold(rng.random(3000), np.arange(3000) < 900, lambda y, found: asked.append(1) or 0.0)
    assert len(asked) <= 200


def test_a_lesion_counts_once():
    scores, truth = [0.9, 0.2, 0.3, 0.3, 0.3], [True, True, False, False, False]
    assert tune_threshold(scores, truth, "youden") == 0.9
    assert tune_threshold(scores, truth, "youden", groups=[1, 1, 2, 3, 4]) == 0.2
    assert tune_threshold(scores, truth, "youden", groups=[1, 1, 2, 3, 4], lesion="highest") == 0.9


@pytest.mark.parametrize(
    "bad",
    ["j", "f", "fx", "accuracy", [1, 2], [[1, 2], [3]], [[1, 2, 3]] * 3, [[0, np.nan], [1, 0]], 3],
)
def test_what_is_no_criterion_is_refused(bad):
    with pytest.raises(InputError, match=r'^criterion: .+ – not "youden", .* – pass one of these'):
        tune_threshold([0.1, 0.9], [False, True], bad)


@pytest.mark.parametrize("truth", [[True, True], [False, False]])
def test_one_side_alone_has_no_threshold(truth):
    with pytest.raises(
        InputError, match=r"^lesions: of one side only – .* – add lesions of the ot"
    ):
        tune_threshold([0.1, 0.9], truth)


def test_where_false_alarms_are_dear_none_is_called_malignant():
    scores, malignant = [0.1, 0.2, 0.3, 0.9], [False, True, False, False]
    threshold = tune_threshold(scores, malignant, [[0, 100], [1, 0]])
    assert 0.9 < threshold < 0.9001


def test_what_a_function_has_no_number_for_is_never_the_best():
    scores, malignant = [0.1, 0.2, 0.3, 0.9], [False, True, True, True]

    def negative_predictive_value(y, found):
        return np.nan if found.all() else np.mean(y[found == 0] == 0)

    assert tune_threshold(scores, malignant, negative_predictive_value) == 0.2
    with pytest.raises(InputError, match="it gives a number for no threshold"):
        tune_threshold(scores, malignant, lambda y, found: np.nan)
    with pytest.raises(InputError, match='not "youden"'):
        tune_threshold(scores, malignant, "f0.0")
