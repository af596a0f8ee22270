from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapie.risk_control import BinaryClassificationController
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from skinensemble.exceptions import CertificateError, InputError
from skinensemble.thresholds import (
    Certificate,
    allowed_misses,
    certify_threshold,
    exact_interval,
    lesion_scores,
    lesions_needed,
    sensitivity_bound,
)

DRAWS = 20_000
PROMISES = [(0.95, 0.95), (0.9, 0.95), (0.95, 0.99), (0.8, 0.5), (0.99, 0.9), (0.5, 0.875)]


@pytest.mark.parametrize(
    ("n_lesions", "misses"), [(59, 0), (100, 1), (200, 4), (400, 12), (1169, 45)]
)
def test_the_published_table(n_lesions, misses):
    assert allowed_misses(n_lesions) == misses


@pytest.mark.parametrize(("sensitivity", "confidence"), PROMISES)
def test_lesions_needed_is_the_smallest_number_that_can_prove_it(sensitivity, confidence):
    needed = lesions_needed(sensitivity, confidence)
    assert stats.binom.cdf(0, needed, 1 - sensitivity) <= 1 - confidence + 1e-12
    assert stats.binom.cdf(0, needed - 1, 1 - sensitivity) > 1 - confidence


@pytest.mark.parametrize(("sensitivity", "confidence"), PROMISES)
def test_allowed_misses_are_the_most_that_prove_it(sensitivity, confidence):
    for n in range(lesions_needed(sensitivity, confidence), 700, 37):
        allowed = allowed_misses(n, sensitivity, confidence)
        assert allowed >= 0
        assert sensitivity_bound(allowed, n, confidence) >= sensitivity - 1e-12
        assert sensitivity_bound(allowed + 1, n, confidence) < sensitivity


@given(n=st.integers(1, 2000), share=st.floats(0, 1), confidence=st.floats(0.5, 0.999))
def test_the_bound_is_clopper_and_pearsons(n, share, confidence):
    misses = round(share * n)
    bound = sensitivity_bound(misses, n, confidence)
    test = stats.binomtest(n - misses, n, alternative="greater")
    assert bound == pytest.approx(test.proportion_ci(confidence, method="exact").low, abs=1e-9)
    low, _ = proportion_confint(n - misses, n, alpha=2 * (1 - confidence), method="beta")
    assert bound == pytest.approx(low, abs=1e-9)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_bound_covers_the_truth_as_often_as_it_says(confidence):
    lengths = np.unique(np.geomspace(10, 600, 20).astype(int))
    for n in lengths:
        bounds = np.array([sensitivity_bound(k, n, confidence) for k in range(n + 1)])
        for sensitivity in np.linspace(0.5, 0.995, 20):
            chance = stats.binom.pmf(np.arange(n + 1), n, 1 - sensitivity)
            assert chance[bounds <= sensitivity].sum() >= confidence - 1e-12
            # A bound of 0 would cover always; this one is exact, so not far above.
        assert bounds[0] == pytest.approx((1 - confidence) ** (1 / n))


def test_the_exact_interval_covers_the_share_as_often_as_it_says():
    for n in np.unique(np.geomspace(5, 400, 20).astype(int)):
        low, high = np.array([exact_interval(k, n) for k in range(n + 1)]).T
        for share in np.linspace(0.02, 0.98, 20):
            chance = stats.binom.pmf(np.arange(n + 1), n, share)
            assert chance[(low <= share) & (share <= high)].sum() >= 0.95 - 1e-12


@pytest.mark.parametrize("n_lesions", [59, 60, 100, 200, 500])
def test_the_certified_threshold_keeps_its_promise_and_the_naive_one_does_not(n_lesions):
    rng = np.random.default_rng(n_lesions)
    # The share of malignant lesions below a score is the score itself: truth is known exactly.
    scores = np.sort(rng.random((DRAWS, n_lesions)), axis=1)
    error = 3 * np.sqrt(0.05 * 0.95 / DRAWS)
    for target in (0.95, 0.9, 0.8):
        certified = scores[:, allowed_misses(n_lesions, target)]
        for draw in range(0, DRAWS, 400):
            threshold = certify_threshold(scores[draw], np.ones(n_lesions), minimum=target)
            assert threshold.threshold == certified[draw]
        assert np.mean(certified > 1 - target) <= 0.05 + error
        naive = scores[:, round((1 - target) * n_lesions)]
        assert np.mean(naive > 1 - target) > 0.5


def test_four_views_a_lesion_count_once():
    rng = np.random.default_rng(0)
    n, lesions = 120, np.repeat(np.arange(120), 4)

    def clinic(size):
        return rng.standard_normal((size, n, 1)) + 0.15 * rng.standard_normal((size, n, 4))

    worst = np.sort(clinic(4_000).min(axis=2).ravel())
    images = np.sort(clinic(1_000).ravel())
    found = {"lesions": [], "images": [], "naive": []}
    for scores in clinic(2_000):
        whole = certify_threshold(scores.ravel(), np.ones(4 * n), groups=lesions)
        assert (whole.n_malignant, whole.misses) == (n, allowed_misses(n))
        found["lesions"].append(np.searchsorted(worst, whole.threshold) / worst.size)
        apart = certify_threshold(scores.ravel(), np.ones(4 * n)).threshold
        found["images"].append(np.searchsorted(images, apart) / images.size)
        naive = np.quantile(scores.min(axis=1), 0.05)
        found["naive"].append(np.searchsorted(worst, naive) / worst.size)
    missed = {key: int(np.sum(np.array(share) > 0.05)) for key, share in found.items()}
    assert stats.binomtest(missed["lesions"], 2_000, 0.05, alternative="greater").pvalue > 0.01
    assert 0.4 < missed["naive"] / 2_000 < 0.7
    assert missed["images"] > 300  # four views are not four lesions: the promise would be broken


@given(
    scores=st.lists(st.integers(0, 12), min_size=59, max_size=250),
    target=st.sampled_from([0.8, 0.9, 0.95]),
)
def test_the_threshold_is_the_largest_that_proves_it_whatever_the_ties(scores, target):
    scores = np.array(scores) / 12
    found = certify_threshold(scores, np.ones(len(scores)), minimum=target)
    allowed = allowed_misses(len(scores), target)
    assert found.misses == np.sum(scores < found.threshold) <= allowed
    assert found.bound >= target
    assert np.sum(scores <= found.threshold) > allowed


def test_constant_scores_flag_everything():
    found = certify_threshold(np.full(300, 0.4), np.arange(300) < 100)
    assert (found.threshold, found.misses, found.false_alarms) == (0.4, 0, 200)
    assert found.specificity == 0


def test_the_counts_are_those_of_the_lesions():
    rng = np.random.default_rng(3)
    lesions = rng.permutation(np.repeat(np.arange(200), 2)).astype(str)
    malignant = np.char.str_len(lesions) == 3
    scores = rng.random(400) + malignant
    found = certify_threshold(scores, malignant, groups=lesions)
    assert (found.n_malignant, found.n_benign) == (100, 100)
    worst = {g: (scores[lesions == g].min(), scores[lesions == g].max()) for g in set(lesions)}
    low = [worst[g][0] for g in worst if len(g) == 3]
    high = [worst[g][1] for g in worst if len(g) < 3]
    assert found.misses == np.sum(np.array(low) < found.threshold) == 1
    assert found.false_alarms == np.sum(np.array(high) >= found.threshold)


@pytest.mark.parametrize(("n", "more"), [(0, 59), (1, 58), (58, 1)])
def test_too_few_malignant_lesions_are_refused_with_the_number_missing(n, more):
    scores, malignant = np.linspace(0, 1, 200), np.arange(200) < n
    text = (
        rf"^certificate: sensitivity ≥ 0.95 with confidence 0.95 – {n} malignant .* \({more} more"
    )
    with pytest.raises(CertificateError, match=text):
        certify_threshold(scores, malignant)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused_with_their_rows(bad):
    scores = np.linspace(0, 1, 100)
    scores[[3, 17]] = bad
    with pytest.raises(InputError, match=r"^scores: rows 3, 17 – not finite – remove"):
        certify_threshold(scores, np.ones(100))


@pytest.mark.parametrize(
    ("scores", "malignant", "groups"),
    [([0.1, 0.2], [True], None), ([0.1], [True], [1, 2]), ([[0.1]], [[True]], [[1]])],
)
def test_lengths_that_differ_are_refused(scores, malignant, groups):
    with pytest.raises(InputError, match=r"^lengths: .+ – shapes \(.+ – pass one of each"):
        lesion_scores(scores, malignant, groups)


def test_a_lesion_that_is_both_is_refused():
    with pytest.raises(InputError, match=r"^lesions: b – .* both benign and malignant – correct"):
        lesion_scores([0.1, 0.2, 0.3], [True, True, False], ["a", "b", "b"])


@pytest.mark.parametrize("value", [0, 1, 1.2, -1, np.nan, "95 %", None])
def test_promises_that_cannot_be_kept_are_refused(value):
    with pytest.raises(InputError, match=r"^min_sensitivity: .* – choose a number between 0 and 1"):
        lesions_needed(value, 0.95)
    with pytest.raises(InputError, match=r"^confidence: .* – choose a number between 0 and 1"):
        allowed_misses(100, 0.95, value)


def test_the_certificate_never_rounds_up():
    counts = {"n_malignant": 100, "misses": 2, "n_benign": 10, "false_alarms": 1}
    shown = str(Certificate("cross-fitted", 0.1, (0.05, 0.2), **counts, minimum=0.93))
    assert sensitivity_bound(2, 100) == pytest.approx(0.93838, abs=1e-5)
    assert shown.startswith("sensitivity ≥ 0.938 with 95 % confidence: 2 of 100 malignant lesions")
    assert "approximate" in shown
    assert "at threshold 0.1 (0.05–0.2), specificity 0.900 (0.555–0.997) on 10 benign" in shown


def test_ties_that_leave_fewer_misses_do_not_prove_more():
    """Each time, the bound would be that of what happened to be drawn."""
    rng, n, above = np.random.default_rng(0), 400, 0
    few, many = 3, allowed_misses(400)
    levels = 1 - np.array([sensitivity_bound(few, n), sensitivity_bound(many, n)]) + 1e-6
    for _ in range(500):
        # So many lesions have scores of 0 and of 0.5, and all others are found for sure.
        scores = np.searchsorted(levels, rng.random(n), side="right") / 2
        found = certify_threshold(np.append(scores, 0), np.append(np.ones(n), 0))
        assert found.bound == sensitivity_bound(many, n)
        naive = sensitivity_bound(found.misses, n)
        share = levels[int(found.threshold * 2) - 1] if found.threshold else 0
        above += naive > 1 - share + 1e-9
    assert stats.binomtest(above, 500, 0.05, alternative="greater").pvalue < 0.01


def test_without_benign_lesions_there_is_no_specificity():
    assert np.isnan(certify_threshold(np.linspace(0, 1, 80), np.ones(80)).specificity)


def test_all_lesions_missed_prove_nothing():
    assert sensitivity_bound(10, 10) == 0


@pytest.mark.parametrize("n_lesions", [60, 150])
def test_over_two_thousand_clinics_the_promise_fails_in_at_most_five_per_cent(n_lesions):
    rng = np.random.default_rng(7)
    failures = {"certified": 0, "naive": 0}
    for _ in range(2_000):
        scores = rng.standard_normal(n_lesions) + 1.5
        benign = rng.standard_normal(n_lesions)
        truth = np.repeat([True, False], n_lesions)
        certified = certify_threshold(np.concatenate([scores, benign]), truth).threshold
        naive = np.quantile(scores, 0.05)
        for name, threshold in (("certified", certified), ("naive", naive)):
            failures[name] += stats.norm.cdf(threshold - 1.5) > 0.05
    test = stats.binomtest(failures["certified"], 2_000, 0.05, alternative="greater")
    assert test.pvalue > 0.01
    assert 0.4 < failures["naive"] / 2_000 < 0.7


@given(seed=st.integers(0, 10_000), target=st.sampled_from([0.8, 0.95]))
def test_a_promised_specificity_is_the_sensitivity_turned_around(seed, target):
    rng = np.random.default_rng(seed)
    scores, truth = rng.random(200), np.arange(200) < 90
    spec = certify_threshold(scores, truth, promised="specificity", minimum=target)
    sens = certify_threshold(-scores, ~truth, minimum=target)
    assert spec.threshold == np.nextafter(-sens.threshold, np.inf)
    assert (spec.false_alarms, spec.misses) == (sens.misses, sens.false_alarms)
    assert spec.bound == sens.bound >= target
    assert np.sum(scores[~truth] >= spec.threshold) == spec.false_alarms
    low, high = spec.threshold_interval
    assert low <= spec.threshold <= high
    assert str(spec).startswith("specificity ≥ ")
    assert f"{spec.false_alarms} of 110 benign lesions flagged" in str(spec)
    assert "on 90 malignant lesions" in str(spec)


def test_too_few_benign_lesions_prove_no_specificity():
    text = (
        r"specificity ≥ 0.95 .* – 10 benign lesions cannot .*59 are needed \(49 more\) – add benign"
    )
    with pytest.raises(CertificateError, match=text):
        certify_threshold(np.linspace(0, 1, 100), np.arange(100) >= 10, promised="specificity")


def test_only_two_things_are_promised():
    with pytest.raises(InputError, match=r"^promised: 'accuracy' – not one of 'sensitivity', "):
        certify_threshold(np.zeros(9), np.ones(9), promised="accuracy")


def test_the_interval_of_the_threshold_is_that_of_the_bootstrap():
    rng = np.random.default_rng(0)
    scores = rng.random(150)
    found = certify_threshold(scores, np.ones(150))
    draws = np.sort(rng.choice(scores, (20_000, 150)), axis=1)[:, allowed_misses(150)]
    low, high = np.percentile(draws, [2.5, 97.5], method="inverted_cdf")
    ordered = np.sort(scores)
    places = np.searchsorted(ordered, [low, high, *found.threshold_interval])
    # The simulation itself is uncertain by about one place.
    assert np.abs(places[:2] - places[2:]).max() <= 1


@pytest.mark.parametrize(
    ("way", "expected"), [("worst", [0.2, 0.3]), ("highest", [0.9, 0.3]), ("mean", [0.55, 0.2])]
)
def test_images_of_a_lesion_are_put_together_as_told(way, expected):
    scores, truth = [0.9, 0.2, 0.1, 0.3], [True, True, False, False]
    np.testing.assert_allclose(lesion_scores(scores, truth, [1, 1, 2, 2], way)[0], expected)


def test_an_unknown_way_is_refused():
    with pytest.raises(
        InputError, match=r"^lesion: 'best' – not one of 'worst', 'highest', 'mean'"
    ):
        lesion_scores([0.1], [True], lesion="best")


@given(n=st.integers(1, 500), share=st.floats(0, 1))
def test_the_exact_interval_is_clopper_and_pearsons(n, share):
    count = round(share * n)
    expected = proportion_confint(count, n, alpha=0.05, method="beta")
    np.testing.assert_allclose(exact_interval(count, n), np.nan_to_num(expected), atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.filterwarnings("ignore")
def test_mapie_takes_our_threshold_and_refuses_the_next_one(seed):
    """MAPIE controls a recall, too; of one candidate it asks no correction for many."""
    rng = np.random.default_rng(seed)
    truth = np.arange(600) % 2
    scores = 1 / (1 + np.exp(1.5 - 3 * truth - rng.standard_normal(600)))
    found = certify_threshold(scores, truth)
    following = np.min(scores[(truth == 1) & (scores > found.threshold)])
    valid = []
    for threshold in (found.threshold, following):
        control = BinaryClassificationController(
            lambda X: np.stack([1 - X[:, 0], X[:, 0]], axis=1),
            risk="recall",
            target_level=0.95,
            confidence_level=0.95,
            list_predict_params=np.array([threshold]),
        )
        control.calibrate(scores[:, None], truth)
        valid.append(len(control.valid_predict_params) == 1)
    assert valid == [True, False]


@pytest.mark.parametrize(
    ("n", "sensitivity", "confidence"), [(2, 0.3, 0.91), (2, 0.8, 0.36), (3, 0.5, 0.875)]
)
def test_rounding_hides_no_lesion_that_is_just_enough(n, sensitivity, confidence):
    assert lesions_needed(sensitivity, confidence) == n
    assert allowed_misses(n, sensitivity, confidence) == 0


@pytest.mark.parametrize("missing", [np.nan, None, ""])
def test_lesions_without_a_name_are_not_one(missing):
    with pytest.raises(InputError, match="groups: rows 1, 2 – the lesion is missing – give each"):
        lesion_scores([0.1, 0.2, 0.3], [True, True, True], ["a", missing, missing])
