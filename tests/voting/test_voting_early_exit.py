"""A vote that stops when those asked are sure enough."""

from __future__ import annotations

import numpy as np
import pytest
from ballots import informed
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from skinensemble import CalibratedVote, EarlyExitVote, MajorityVote, SoftVote, ThresholdVote
from skinensemble.exceptions import InputError
from skinensemble.thresholds import certify_threshold
from skinensemble.voting import calibrated, rule_name
from skinensemble.voting._early_exit import _lowest_level


def doubtful(n_members, n_classes, n_samples, seed=0):
    """Ballots that know something of the truth and are seldom sure, and the truth."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n_samples)
    shares = rng.standard_gamma(
        0.7 + 1.5 * np.eye(n_classes)[y][:, None], (n_samples, n_members, n_classes)
    )
    return shares / shares.sum(axis=2, keepdims=True), y


def one_by_one(rule, ballots):
    """The members heard about each image, and their mean: soft vote, written as a loop."""
    heard, means = [], []
    for image in ballots:
        for number in range(1, len(image) + 1):
            mean = image[rule.order_[:number]].mean(axis=0)
            said = np.flatnonzero(mean >= mean.max() - 1e-9)[-1]
            if number == len(image) or mean[said] >= rule.levels_[number - 1, said]:
                break
        heard.append(number)
        means.append(mean)
    return np.array(heard), np.array(means)


@pytest.mark.parametrize("n_classes", [2, 7])
@pytest.mark.parametrize("order", [None, [2, 0, 3, 1]])
def test_it_is_a_loop_over_the_members(n_classes, order):
    rule = EarlyExitVote(tolerance=0.05, order=order)
    rule.fit(*doubtful(4, n_classes, 2000))
    fresh, _ = doubtful(4, n_classes, 500, seed=1)
    heard, means = one_by_one(rule, fresh)
    np.testing.assert_array_equal(rule.n_asked(fresh), heard)
    np.testing.assert_allclose(rule.combine(fresh), means, rtol=0, atol=1e-12)
    assert len(np.unique(heard)) > 2


@settings(max_examples=50)
@given(data=st.data())
def test_a_level_is_the_lowest_that_the_tolerance_allows(data):
    n = data.draw(st.integers(1, 40))
    sure = np.array(data.draw(st.lists(st.integers(5, 10), min_size=n, max_size=n))) / 10
    changed = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    tolerance = data.draw(st.sampled_from([0.05, 0.1, 0.3]))
    allowed = [
        level
        for level in np.unique(sure)
        if changed[sure >= level].sum() + 1 <= tolerance * (np.sum(sure >= level) + 1)
    ]
    expected = allowed[0] if allowed else np.inf
    assert _lowest_level(sure, changed, tolerance) == expected


@pytest.mark.parametrize("base", ["soft", "majority", "stacking"])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_decisions_that_change_are_as_few_as_tolerated(base, n_classes):
    ballots, y = doubtful(5, n_classes, 4000)
    rule = EarlyExitVote(base, tolerance=0.02).fit(ballots, y)
    full, number = rule.pilot_.decide(ballots), rule.n_asked(ballots)
    assert number.mean() < 4
    for step in range(4):
        stopped = number == step + 1
        said, _ = rule._so_far(ballots, step)
        for k in np.unique(said[stopped]):
            of_class = stopped & (said == k)
            assert np.mean(said[of_class] != full[of_class]) <= 0.02
    fresh, _ = doubtful(5, n_classes, 4000, seed=1)
    assert np.mean(rule.decide(fresh) != rule.pilot_.decide(fresh)) <= 0.03


def test_a_lower_tolerance_asks_more():
    ballots, y = doubtful(5, 2, 4000)
    asked = [
        EarlyExitVote(tolerance=t).fit(ballots, y).n_asked(ballots).mean() for t in (0.1, 0.01)
    ]
    assert 1 <= asked[0] < asked[1] < 5


def test_a_handful_of_images_is_no_evidence():
    ballots, y = doubtful(3, 2, 60)
    rule = EarlyExitVote(tolerance=0.01).fit(ballots, y)
    assert np.isinf(rule.levels_).all()
    np.testing.assert_array_equal(rule.combine(ballots), SoftVote().combine(ballots))


def test_the_certificate_is_that_of_the_vote_that_stops():
    ballots, y = doubtful(5, 2, 2000)
    lesions = np.arange(len(y)) // 2 * 2 + y
    rule = EarlyExitVote(ThresholdVote(min_sensitivity=0.9), tolerance=0.1)
    rule.fit(ballots, y, groups=lesions)
    own = certify_threshold(
        rule.combine(ballots)[:, 1],
        y == 1,
        promised="sensitivity",
        minimum=0.9,
        confidence=0.95,
        kind="cross-fitted",
        groups=lesions,
        lesion="worst",
    )
    assert rule.certificate_ == own
    assert rule.threshold_ == own.threshold != rule.pilot_.threshold_
    positive = rule.combine(ballots)[:, 1] >= rule.threshold_
    np.testing.assert_array_equal(rule.decide(ballots), positive.astype(int))


def test_a_rule_without_a_threshold_has_none():
    rule = EarlyExitVote().fit(*informed(3, 2))
    assert not hasattr(rule, "threshold_")
    assert not hasattr(rule, "certificate_")


def test_who_is_not_asked_is_not_heard():
    ballots, y = doubtful(5, 3, 1000)
    rule = EarlyExitVote(tolerance=0.1, order=[4, 1, 0, 3, 2]).fit(ballots, y)
    turn = np.argsort(rule.order_)
    unheard = turn >= rule.n_asked(ballots)[:, None]
    noise = np.random.default_rng(0).dirichlet([1, 1, 1], size=ballots.shape[:2])
    other = np.where(unheard[..., None], noise, ballots)
    assert unheard.any()
    np.testing.assert_array_equal(rule.n_asked(other), rule.n_asked(ballots))
    np.testing.assert_array_equal(rule.combine(other), rule.combine(ballots))


def test_members_in_another_order_are_asked_as_told():
    ballots, y = doubtful(4, 2, 1000)
    turned = [3, 1, 0, 2]
    plain = EarlyExitVote(tolerance=0.05).fit(ballots[:, turned], y)
    told = EarlyExitVote(tolerance=0.05, order=turned).fit(ballots, y)
    np.testing.assert_allclose(told.levels_, plain.levels_, rtol=0, atol=1e-12)
    pooled = plain.combine(ballots[:, turned])
    np.testing.assert_allclose(told.combine(ballots), pooled, rtol=0, atol=1e-12)


def test_one_member_is_always_asked():
    ballots, y = informed(1, 2)
    rule = EarlyExitVote().fit(ballots, y)
    assert rule.levels_.shape == (0, 2)
    assert (rule.n_asked(ballots) == 1).all()
    np.testing.assert_array_equal(rule.combine(ballots), ballots[:, 0])


def test_it_is_what_its_base_is():
    assert EarlyExitVote("threshold").binary
    assert not EarlyExitVote().binary
    assert EarlyExitVote("greedy").learns
    assert not EarlyExitVote("soft").learns
    ballots, y = informed(3, 2)
    rule = EarlyExitVote(ThresholdVote(criterion="youden")).fit(ballots, y)
    np.testing.assert_array_equal(rule.votes(ballots), rule.base_.votes(ballots))
    assert rule_name(EarlyExitVote(MajorityVote())) == "EarlyExitVote(base='majority')"


def test_calibration_goes_inside():
    rule = EarlyExitVote("threshold", tolerance=0.1)
    inside = EarlyExitVote(ThresholdVote(CalibratedVote(SoftVote(), "platt")), tolerance=0.1)
    assert repr(calibrated(rule, "platt")) == repr(inside)
    plain = EarlyExitVote(CalibratedVote(MajorityVote(), "temperature"))
    assert repr(calibrated(EarlyExitVote("majority"), "temperature")) == repr(plain)


def test_parameters_are_checked():
    with pytest.raises(InputError, match=r"base: EarlyExitVote\(\) – it stops early already – pas"):
        EarlyExitVote(EarlyExitVote()).check_params()
    with pytest.raises(InputError, match=r"tolerance: 0 – not a share between 0 and 1 – pass a nu"):
        EarlyExitVote(tolerance=0).check_params()
    with pytest.raises(
        InputError, match=r"order: \[0, 0, 1\] – expected each number from 0 to 2 o"
    ):
        EarlyExitVote(order=[0, 0, 1]).check_params()
    with pytest.raises(
        InputError, match=r"order: \[0, 1\] – expected each number from 0 to 2 once"
    ):
        EarlyExitVote(order=[0, 1]).fit(*informed(3, 2))
    with pytest.raises(InputError, match="voting: 'sofd' – not one of "):
        EarlyExitVote("sofd").check_params()
    rule = EarlyExitVote().fit(*informed(3, 2))
    with pytest.raises(InputError, match="ballots: of 4 members – the rule learnt from 3 members"):
        rule.combine(informed(4, 2)[0])


def test_a_clone_is_not_fitted_and_has_the_parameters():
    rule = EarlyExitVote("majority", tolerance=0.1, order=[1, 0]).fit(*informed(2, 2))
    fresh = clone(rule)
    assert fresh.get_params() == rule.get_params()
    assert not hasattr(fresh, "levels_")
