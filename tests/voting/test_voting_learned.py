"""Rules that learn: what they find, against references, and what they refuse to learn from."""

from __future__ import annotations

import numpy as np
import pytest
from ballots import RULES, informed, many, trained
from scipy import special, stats
from sklearn import metrics
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skinensemble import GreedyVote, RankVote, SoftVote, StackingVote, WeightedMajorityVote
from skinensemble.exceptions import InputError
from skinensemble.voting._greedy import _bootstrap
from skinensemble.voting._scores import SCORES

LEARNED = ("weighted_majority", "rank", "greedy", "stacking")
learned = pytest.mark.parametrize("name", LEARNED)


def voters(*accuracies: float, n_classes: int = 2, n_samples: int = 1000):
    """Ballots of members that are right on that share of each class, and the truth."""
    y = np.arange(n_samples * n_classes) % n_classes
    place = np.arange(len(y)) // n_classes
    wrong = np.stack([place >= round(p * n_samples) for p in accuracies], axis=1)
    votes = np.where(wrong, (y[:, None] + 1) % n_classes, y[:, None])
    return 0.1 / n_classes + 0.9 * np.eye(n_classes)[votes], y


# Weighted majority


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_votes_count_by_the_log_odds_of_being_right(n_classes):
    accuracies = np.array([0.9, 0.7, 0.6])
    rule = WeightedMajorityVote().fit(*voters(*accuracies, n_classes=n_classes))
    odds = np.log((n_classes - 1) * accuracies / (1 - accuracies))
    np.testing.assert_allclose(rule.weights_, odds / odds.sum(), atol=2e-3)


def test_a_member_worse_than_chance_has_no_voice_and_a_perfect_one_is_not_certain():
    weights = WeightedMajorityVote().fit(*voters(1.0, 0.3, 0.8)).weights_
    assert weights[1] == 0
    assert 0.8 < weights[0] < 0.9


@pytest.mark.parametrize("accuracy", [0.5, 0.2, 0.0])
def test_where_nobody_beats_chance_all_count_alike(accuracy):
    weights = WeightedMajorityVote().fit(*voters(accuracy, accuracy, 0.1)).weights_
    np.testing.assert_allclose(weights, 1 / 3)


def test_saying_the_commonest_class_always_is_no_merit():
    y = np.repeat([0, 1], [900, 100])
    always, half = np.tile([0.9, 0.1], (1000, 1)), np.eye(2)[np.arange(1000) // 5 % 2]
    half[y == 1] = [0.0, 1.0]
    weights = WeightedMajorityVote().fit(np.stack([always, half], axis=1), y).weights_
    np.testing.assert_allclose(weights, [0, 1], atol=1e-12)


def test_sample_weights_count():
    ballots, y = voters(0.9, 0.6)
    spare = np.arange(len(y)) % 3 > 0
    weighted = WeightedMajorityVote().fit(ballots, y, sample_weight=2.0 * spare).weights_
    # Smoothing counts samples, the same for both here; shares of each class are what matters.
    fewer = WeightedMajorityVote().fit(ballots[spare], y[spare]).weights_
    np.testing.assert_allclose(weighted, fewer, atol=1e-3)


# Rank


def test_ranks_and_quantiles_are_those_of_scipy_and_numpy():
    ballots = many(200, 3, 4)
    rule = RankVote().fit(ballots, np.arange(200) % 4)
    ranks = ((stats.rankdata(ballots, axis=0) - 0.5) / 200).mean(axis=1)
    # Hazen's quantiles are the inverse of mid-ranks.
    pooled = np.mean(
        [
            [np.quantile(ballots[:, m, k], ranks[:, k], method="hazen") for k in range(4)]
            for m in range(3)
        ],
        axis=0,
    ).T
    expected = pooled / pooled.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(rule.combine(ballots), expected, atol=1e-12)


def test_a_change_of_one_members_scale_does_not_change_the_order():
    ballots, y = informed(3, 2, 400)
    squashed = ballots.copy()
    squashed[:, 0, 1] = 0.2 * ballots[:, 0, 1] ** 2
    squashed[:, 0, 0] = 1 - squashed[:, 0, 1]
    plain, other = (RankVote().fit(b, y).combine(b)[:, 1] for b in (ballots, squashed))
    np.testing.assert_array_equal(stats.rankdata(plain.round(9)), stats.rankdata(other.round(9)))
    soft = SoftVote().combine(squashed)[:, 1]
    assert metrics.roc_auc_score(y, other) > metrics.roc_auc_score(y, soft) - 1e-3


def test_many_samples_are_kept_as_quantiles():
    ballots, y = informed(3, 2, 20_000)
    rule = RankVote().fit(ballots, y)
    assert rule.grids_.shape == (1001, 3, 2)
    ranks = (stats.rankdata(ballots[:, :, 1], axis=0) / 20_000).mean(axis=1)
    pooled = rule.combine(ballots)[:, 1]
    assert stats.spearmanr(ranks, pooled).statistic > 0.99999


def test_a_member_that_always_says_the_same_can_be_ranked():
    ballots = np.concatenate([many(30, 2, 2), np.full((30, 1, 2), 0.5)], axis=1)
    pooled = RankVote().fit(ballots, np.arange(30) % 2).combine(ballots)
    np.testing.assert_allclose(pooled.sum(axis=1), 1)
    assert RankVote().fit(ballots[:1], [0]).combine(ballots).shape == (30, 2)


# Greedy selection


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_those_of_scikit_learn(n_classes, weighted):
    ballots, y = informed(1, n_classes, 200)
    proba = ballots[:, 0]
    weight = np.random.default_rng(0).random(200) if weighted else np.ones(200)
    given, decided = {"sample_weight": weight}, proba.argmax(axis=1)
    areas = [
        metrics.roc_auc_score(y == k, proba[:, k], sample_weight=weight) for k in range(n_classes)
    ]
    expected = {
        "accuracy": metrics.accuracy_score(y, decided, **given),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, decided, **given),
        "brier": -metrics.brier_score_loss(y, proba, scale_by_half=False, **given),
        "log_loss": -metrics.log_loss(y, proba, **given),
        "roc_auc": np.mean(areas),
    }
    found = {name: score(y, proba, weight) for name, score in SCORES.items()}
    assert found == pytest.approx(expected, rel=1e-12)


def test_tied_scores_count_half_in_the_area():
    rng = np.random.default_rng(0)
    y, weight = rng.integers(0, 2, 300), rng.random(300)
    p = rng.integers(0, 9, 300) / 8
    expected = metrics.roc_auc_score(y, p, sample_weight=weight)
    found = SCORES["roc_auc"](y, np.stack([1 - p, p], axis=1), weight)
    assert found == pytest.approx(expected, rel=1e-12)


def kappa(y, proba):
    return metrics.cohen_kappa_score(y, proba.argmax(axis=1))


@pytest.mark.parametrize("metric", [*SCORES, kappa])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_learned_weights_are_at_least_as_good_as_equal_ones_and_every_member(metric, n_classes):
    ballots, y = informed(4, n_classes)
    rule = GreedyVote(metric, n_rounds=6, n_bags=3).fit(ballots, y)

    def score(weights):
        proba, ones = np.einsum("smk,m->sk", ballots, weights), np.ones(len(y))
        return metric(y, proba) if callable(metric) else SCORES[metric](y, proba, ones)

    best = max(score(weights) for weights in [*np.eye(4), np.full(4, 0.25)])
    assert score(rule.weights_) >= best - 1e-12
    np.testing.assert_allclose(rule.weights_.sum(), 1)


def selected(ballots, y, n_rounds):
    """Ensemble selection as Caruana and others describe it: shares of the best round."""
    taken, best, kept = [], np.inf, None
    for _ in range(n_rounds):
        means = [ballots[:, [*taken, m]].mean(axis=1) for m in range(ballots.shape[1])]
        losses = [metrics.log_loss(y, mean) for mean in means]
        taken.append(int(np.argmin(losses)))
        if min(losses) < best:
            best, kept = min(losses), np.bincount(taken, minlength=ballots.shape[1]) / len(taken)
    return kept


@pytest.mark.parametrize("n_classes", [2, 3])
def test_members_are_selected_as_in_the_paper(n_classes):
    rng, y = np.random.default_rng(0), np.arange(600) % n_classes
    noise = rng.standard_normal((600, 4, n_classes)) * np.array([2, 2.5, 3, 4])[:, None]
    ballots = special.softmax(2 * np.eye(n_classes)[y][:, None] + noise, axis=2)
    bag = _bootstrap(y, np.arange(len(y)), np.random.RandomState(0))
    expected = selected(ballots[bag], y[bag], 9)
    assert np.count_nonzero(expected) > 1 and np.ptp(expected) > 0
    rule = GreedyVote(n_rounds=9, n_bags=1).fit(ballots, y)
    np.testing.assert_allclose(rule.weights_, expected)


def test_two_members_get_nearly_the_best_weights():
    rng = np.random.default_rng(0)
    y = np.arange(4000) % 2
    odds = 2 * (2 * y[:, None] - 1) + rng.standard_normal((4000, 2)) * [2, 3]
    p = 1 / (1 + np.exp(-odds))
    ballots = np.stack([1 - p, p], axis=2)
    w = GreedyVote(n_rounds=40).fit(ballots, y).weights_[0]
    losses = [metrics.log_loss(y, v * p[:, 0] + (1 - v) * p[:, 1]) for v in np.linspace(0, 1, 101)]
    assert 0 < np.argmin(losses) < 100
    assert abs(w - np.argmin(losses) / 100) < 0.05


def test_a_committee_that_does_not_earn_its_keep_is_its_best_member():
    ballots, y = voters(0.9, 0.5, 0.4, 0.3)
    rule = GreedyVote("accuracy").fit(ballots[:, [1, 0, 2, 3]], y)
    assert rule.weights_.tolist() == [0, 1, 0, 0]


def test_equal_metrics_are_told_apart_by_the_log_loss():
    y = np.arange(40) % 2
    sure, unsure = (np.stack([0.5 + d * (1 - 2 * y), 0.5 - d * (1 - 2 * y)], 1) for d in (0.4, 0.1))
    weights = GreedyVote("accuracy").fit(np.stack([unsure, sure, unsure], axis=1), y).weights_
    assert weights.tolist() == [0, 1, 0]


def test_bags_are_drawn_by_lesion_and_hold_as_many_of_each_class():
    y = np.repeat([0, 1, 1, 0, 2, 1, 0], [1, 2, 3, 1, 2, 1, 4])
    lesions = np.repeat([5, 9, 2, 7, 1, 3, 8], [1, 2, 3, 1, 2, 1, 4])
    drawn = set()
    for seed in range(20):
        times = np.bincount(_bootstrap(y, lesions, np.random.RandomState(seed)), minlength=14)
        per_lesion = {lesion: set(times[lesions == lesion]) for lesion in np.unique(lesions)}
        assert all(len(each) == 1 for each in per_lesion.values())
        counts = {lesion: each.pop() for lesion, each in per_lesion.items()}
        assert (counts[5] + counts[7] + counts[8], counts[9] + counts[2] + counts[3]) == (3, 3)
        assert counts[1] == 1
        drawn.add(tuple(counts.values()))
    assert len(drawn) > 10


def test_sample_weights_reach_the_named_metrics():
    ballots, y = voters(0.9, 0.6)
    ballots[:, 1] = np.roll(ballots[:, 1], 800, axis=0)
    assert GreedyVote("accuracy").fit(ballots, y).weights_[0] > 0.5
    first_is_wrong = (ballots[:, 0].argmax(axis=1) != y).astype(float)
    rule = GreedyVote("accuracy").fit(ballots, y, sample_weight=first_is_wrong)
    assert rule.weights_.tolist() == [0, 1]


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), ("0.5", "'0.5'"), (None, "None")])
def test_a_metric_must_give_a_number(value, shown):
    def odd(y, proba):
        return value

    text = rf"^metric: odd = {shown} – it is to return a finite number"
    with pytest.raises(InputError, match=text):
        GreedyVote(odd).fit(*informed(2, 2))


def test_a_class_that_no_label_names_costs_nothing():
    ballots, y = informed(3, 3)
    kept = y < 2
    for metric in SCORES:
        weights = GreedyVote(metric, n_rounds=3, n_bags=2).fit(ballots[kept], y[kept]).weights_
        np.testing.assert_allclose(weights.sum(), 1)
    assert GreedyVote("roc_auc", n_bags=1).fit(ballots[y == 1], y[y == 1]).weights_.sum() == 1


# Stacking


def logs(ballots: np.ndarray) -> np.ndarray:
    return np.log(np.clip(ballots, 1e-6, 1)).reshape(len(ballots), -1)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_the_default_is_logistic_regression_on_log_probabilities(n_classes):
    (ballots, y), new = informed(3, n_classes), many(50, 3, n_classes, seed=1)
    weight = 0.5 + np.random.default_rng(0).random(len(y))
    expected = (
        LogisticRegression(solver="newton-cholesky").fit(logs(ballots), y).predict_proba(logs(new))
    )
    np.testing.assert_allclose(StackingVote().fit(ballots, y).combine(new), expected, atol=1e-6)
    mean_one = {"sample_weight": weight / weight.mean()}
    expected = LogisticRegression(solver="newton-cholesky").fit(logs(ballots), y, **mean_one)
    rule = StackingVote().fit(ballots, y, sample_weight=weight)
    np.testing.assert_allclose(rule.combine(new), expected.predict_proba(logs(new)), atol=1e-6)


class Fixed(DummyClassifier):
    """Says, row by row, what it was built with."""

    def __init__(self, proba=None):
        super().__init__()
        self.proba = proba

    def predict_proba(self, X):
        return self.proba[X[:, 0].astype(int)]


def test_stacking_is_that_of_scikit_learn():
    ballots, y = informed(3, 3)
    rows = np.arange(len(y))[:, None]
    members = [(f"m{m}", Fixed(ballots[:, m]).fit(rows, y)) for m in range(3)]
    log = FunctionTransformer(lambda p: np.log(np.clip(p, 1e-6, 1)))
    final = make_pipeline(log, LogisticRegression(solver="newton-cholesky"))
    theirs = StackingClassifier(members, final, cv="prefit").fit(rows, y).predict_proba(rows)
    np.testing.assert_allclose(StackingVote().fit(ballots, y).combine(ballots), theirs, atol=1e-6)


@pytest.mark.parametrize(
    "estimator",
    [
        GaussianNB(),
        RandomForestClassifier(5, random_state=0),
        make_pipeline(StandardScaler(), GaussianNB()),
    ],
)
def test_any_classifier_can_read_the_ballots(estimator):
    ballots, y = informed(3, 3)
    rule = StackingVote(estimator).fit(ballots, y)
    expected = clone(estimator).fit(logs(ballots), y).predict_proba(logs(ballots))
    np.testing.assert_allclose(rule.combine(ballots), expected, atol=1e-9)
    assert rule.estimator is estimator
    assert rule.get_params()["estimator"] is estimator
    assert not hasattr(estimator, "classes_")


def test_a_class_that_no_label_names_has_no_probability():
    ballots, y = informed(3, 4)
    rule = StackingVote().fit(ballots[y != 2], y[y != 2])
    pooled = rule.combine(ballots)
    assert (pooled[:, 2] == 0).all()
    np.testing.assert_allclose(pooled.sum(axis=1), 1)


def test_zeros_and_certainties_have_logarithms():
    ballots, y = informed(2, 3)
    sure = np.eye(3)[ballots.argmax(axis=2)]
    assert np.isfinite(StackingVote().fit(sure, y).combine(sure)).all()


def test_parameters_of_the_estimator_are_reached_by_name():
    rule = StackingVote(LogisticRegression()).set_params(estimator__C=0.01)
    assert rule.estimator.C == clone(rule).get_params()["estimator__C"] == 0.01


def test_what_stacking_cannot_learn_from():
    ballots, y = informed(3, 2)
    with pytest.raises(InputError, match=r"^y: class 1 only – a classifier needs two classes"):
        StackingVote().fit(ballots[y == 1], y[y == 1])
    odd = make_pipeline(StandardScaler(), KNeighborsClassifier())
    with pytest.raises(
        InputError, match=r"^estimator: Pipeline.* – its fit takes no sample_weight"
    ):
        StackingVote(odd).fit(ballots, y, sample_weight=np.ones(140))


def test_weights_reach_the_last_step_of_a_pipeline():
    ballots, y = informed(3, 2)
    weight = np.where(y == 1, 4.0, 1.0)
    plain = make_pipeline(FunctionTransformer(), LogisticRegression())
    of_pipeline = StackingVote(plain).fit(ballots, y, sample_weight=weight)
    alone = StackingVote(LogisticRegression()).fit(ballots, y, sample_weight=weight)
    np.testing.assert_allclose(of_pipeline.combine(ballots), alone.combine(ballots), rtol=1e-12)


# All of them

BALLOTS, Y = informed(3, 2)
BAD = {
    "NaN": ({"ballots": np.where(BALLOTS > 0.9, np.nan, BALLOTS)}, "ballots: sample .* not finite"),
    "logits": ({"ballots": 3 * BALLOTS}, "ballots: sample 0 of member 0.* not summing to 1"),
    "two axes": ({"ballots": BALLOTS[:, 0]}, r"ballots: shape \(140, 2\) – expected"),
    "empty": ({"ballots": BALLOTS[:0], "y": []}, r"ballots: shape \(0, 3, 2\) – expected"),
    "no member": ({"ballots": BALLOTS[:, :0]}, r"ballots: shape \(140, 0, 2\) – expected"),
    "one class": ({"ballots": BALLOTS[..., :1]}, r"ballots: shape \(140, 3, 1\) – expected"),
    "y too short": ({"y": Y[1:]}, r"y: shape \(139,\) – there are ballots on 140 samples – pass"),
    "y of two axes": ({"y": Y[:, None]}, r"y: shape \(140, 1\) – there are ballots on"),
    "y beyond": ({"y": Y + 1}, "y: 2 – not a class index from 0 to 1 – number the labels first"),
    "y negative": ({"y": Y - 1}, "y: -1 – not a class index from 0 to 1"),
    "y of text": ({"y": np.where(Y, "mel", "nv")}, "y: mel, nv – not a class index from 0 to 1"),
    "y of floats": ({"y": Y.astype(float)}, "y: 0.0, 1.0 – not a class index from 0 to 1"),
    "weights short": ({"sample_weight": Y[1:]}, "sample_weight: 139 given – there are 140 samples"),
    "weights negative": ({"sample_weight": Y - 1}, "sample_weight: -1 of sample "),
    "weights zero": ({"sample_weight": 0 * Y}, "sample_weight: all zero – no sample would count"),
    "groups short": (
        {"groups": Y[1:]},
        "groups: 139 lesions – one per sample is needed, y has 140",
    ),
    "two labels": (
        {"groups": np.arange(140) // 70},
        "lesions: 0 .* – one lesion has several label",
    ),
}


@learned
@pytest.mark.parametrize(("given", "text"), BAD.values(), ids=BAD)
def test_what_no_rule_learns_from(name, given, text):
    given = {"ballots": BALLOTS, "y": Y, **given}
    with pytest.raises(InputError, match=f"^{text}"):
        clone(RULES[name].rule).fit(**given)


@learned
def test_a_sample_that_weighs_nothing_is_as_if_left_out(name):
    rng = np.random.default_rng(2)
    ballots, y = many(400, 3, 2), rng.integers(0, 2, 400)
    weight = rng.integers(0, 3, 400).astype(float)
    kept = weight > 0
    weighted = clone(RULES[name].rule).fit(ballots, y, sample_weight=weight)
    fewer = clone(RULES[name].rule).fit(ballots[kept], y[kept], sample_weight=weight[kept])
    np.testing.assert_allclose(weighted.combine(ballots), fewer.combine(ballots), atol=1e-9)


@learned
def test_a_rule_that_must_learn_says_so(name):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        clone(RULES[name].rule).combine(BALLOTS)


@learned
def test_another_committee_is_refused(name):
    rule = trained(name, 3, 2)
    with pytest.raises(InputError, match=r"^ballots: of 2 members.* – the rule learnt from 3 memb"):
        rule.combine(BALLOTS[:, :2])
    if name in ("rank", "stacking"):
        text = r"^ballots: of 3 members and 3 classes – the rule learnt from 3 members and 2 class"
        with pytest.raises(InputError, match=text):
            rule.combine(many(3, 3, 3))
