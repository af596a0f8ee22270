"""Committees of which is known whether the vote earns its keep, and what is said of them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from skinensemble import (
    CalibratedVote,
    EarlyExitVote,
    LogitAdjustedVote,
    MajorityVote,
    SoftVote,
    ThresholdVote,
    VotingRule,
)
from skinensemble.comparison import Comparison, Contender, Diversity, PairedTest, compare
from skinensemble.comparison._comparison import _signed
from skinensemble.exceptions import CertificateError, InputError
from skinensemble.metrics import Figure

NAMES = ["a", "b", "c"]


def cast(right, y, n_classes=2, sure=0.8):
    """Ballots of members that are right where told, and else vote for the next class."""
    votes = np.where(right, y[:, None], (y[:, None] + 1) % n_classes)
    return sure * np.eye(n_classes)[votes] + (1 - sure) / n_classes


def independent(n=1200, n_classes=2, seed=0):
    """Three members that are right on 80 % of the images, each on others."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    return cast(rng.random((n, 3)) < 0.8, y, n_classes), y, rng.integers(0, 5, n)


def worse(n=4000, seed=0):
    """One good member outvoted by two poorer ones that err together."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 7, n)
    good, poor = rng.random(n) < 0.90, rng.random(n) < 0.88
    copy = np.where(rng.random(n) < 0.9, poor, rng.random(n) < 0.88)
    return cast(np.stack([good, poor, copy], axis=1), y, 7), y, np.arange(n) % 5


def coins(seed, n=300):
    """Members that are right where it is easy, and elsewhere throw coins: no vote can help."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    easy = rng.random((n, 1)) < 0.7
    return cast(easy | (rng.random((n, 3)) < 0.5), y), y, np.arange(n) % 5


class MemoryVote(VotingRule):
    """Knows by heart what it has seen, and guesses the first class elsewhere."""

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        self.seen_ = {row.tobytes(): label for row, label in zip(ballots, y, strict=True)}
        return self

    def combine(self, ballots):
        return np.eye(ballots.shape[2])[[self.seen_.get(row.tobytes(), 0) for row in ballots]]


def test_a_committee_of_members_that_err_differently_beats_the_best():
    ballots, y, folds = independent()
    comparison = compare(ballots, y, names=NAMES, folds=folds, voting="majority", rules=())
    assert comparison.beats_best
    assert comparison.vote.differences["balanced accuracy"].low > 0.04
    assert max(comparison.p_values.values()) < 1e-6
    pattern = (
        r"The vote \(majority\) beats its best member \([abc]\): balanced accuracy"
        r" \+0\.\d{3} \(0\.\d{3} to 0\.\d{3}\), exact McNemar p < 0\.0001 after Holm\."
    )
    assert re.fullmatch(pattern, comparison.sentence)


def test_a_committee_that_outvotes_its_good_member_is_called_worse():
    ballots, y, folds = worse()
    comparison = compare(ballots, y, names=NAMES, folds=folds, voting="majority", rules=())
    assert comparison.direction == -1
    assert not comparison.beats_best
    assert comparison.best_member == "a"
    assert -0.03 < comparison.vote.differences["balanced accuracy"].value < -0.01
    assert comparison.sentence.startswith(
        "The vote (majority) is worse than its best member (a): balanced accuracy -0.0"
    )
    assert comparison.sentence.endswith(
        "; keep that member alone, change the rule, or add members that differ."
    )


def test_copies_of_one_member_do_not_beat_it():
    ballots, y, folds = independent()
    ballots = ballots[:, [0, 0, 0]]
    comparison = compare(ballots, y, names=NAMES, folds=folds, voting="majority", rules=())
    assert comparison.sentence == (
        "The vote (majority) does not beat its best member (a): balanced accuracy +0.000 (0.000 to"
        " 0.000), exact McNemar p = 1 after Holm; keep that member alone, change the rule, or add"
        " members that differ."
    )
    one = compare(ballots[:, :1], y, names=["a"], folds=folds, rules=())
    assert one.direction == 0


@pytest.mark.slow
def test_a_vote_as_good_as_its_members_is_seldom_called_better_or_worse():
    arguments = {"names": NAMES, "voting": "majority", "rules": (), "n_resamples": 200}
    said = []
    for seed in range(200):
        ballots, y, folds = coins(seed)
        said.append(compare(ballots, y, folds=folds, **arguments).direction)
    assert said.count(1) <= 10
    assert said.count(-1) <= 10


def test_figures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(300) % 4)
    ballots = rng.dirichlet(np.ones(4), (300, 3)) + 0.3 * np.eye(4)[y][:, None]
    ballots /= ballots.sum(axis=2, keepdims=True)
    comparison = compare(ballots, y, names=NAMES, folds=y % 3, rules=["majority"])
    voters = [*ballots.transpose(1, 0, 2), MajorityVote().combine(ballots), ballots.mean(axis=1)]
    decisions = [p.argmax(axis=1) for p in voters]
    decisions[3] = MajorityVote().decide(ballots)
    best = max(balanced_accuracy_score(y, decided) for decided in decisions[:3])
    for row, proba, decided in zip(comparison.rows, voters, decisions, strict=True):
        area = roc_auc_score(y, proba, multi_class="ovr", average="macro")
        balanced = balanced_accuracy_score(y, decided)
        assert row.figures["accuracy"].value == pytest.approx(accuracy_score(y, decided))
        assert row.figures["balanced accuracy"].value == pytest.approx(balanced)
        assert row.figures["AUC"].value == pytest.approx(area)
        assert row.differences["balanced accuracy"].value == pytest.approx(balanced - best)
    assert [(row.kind, row.name) for row in comparison.rows] == [
        *(("member", name) for name in NAMES),
        ("rule", "majority"),
        ("vote", "soft"),
    ]


def test_the_interval_of_the_difference_is_that_of_scipy():
    ballots, y, folds = independent(400)
    comparison = compare(
        ballots, y, names=NAMES, folds=folds, voting="majority", rules=(), n_resamples=2000
    )
    vote = MajorityVote().decide(ballots)
    best = ballots[:, NAMES.index(comparison.best_member)].argmax(axis=1)

    gain = (vote == y).astype(float) - (best == y)

    def difference(rows):
        return np.mean([gain[rows][y[rows] == k].mean() for k in (0, 1)])

    found = bootstrap(
        (np.arange(400),),
        difference,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    ours = comparison.vote.differences["balanced accuracy"]
    np.testing.assert_allclose([ours.low, ours.high], found, atol=0.01)


def test_images_of_a_lesion_hang_together():
    ballots, y, folds = (np.repeat(part, 6, axis=0) for part in independent(120))
    lesions = np.repeat(np.arange(120), 6)
    arguments = {"names": NAMES, "folds": folds, "rules": ()}
    by_image, by_lesion = (
        compare(ballots, y, groups=groups, **arguments) for groups in (None, lesions)
    )
    assert by_lesion.n_lesions == 120
    assert by_lesion.tests[0].only_vote * 6 == by_image.tests[0].only_vote
    widths = [
        one.vote.figures["accuracy"].high - one.vote.figures["accuracy"].low
        for one in (by_image, by_lesion)
    ]
    assert widths[1] > 2 * widths[0]


def test_a_rule_has_no_credit_for_answers_it_has_seen():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    ballots = rng.dirichlet([1, 1], (400, 3))
    assert (MemoryVote().fit(ballots, y).decide(ballots) == y).all()
    comparison = compare(
        ballots, y, names=NAMES, folds=np.arange(400) % 5, voting=MemoryVote(), rules=()
    )
    assert comparison.vote.name == "MemoryVote()"
    assert comparison.vote.figures["balanced accuracy"].value == 0.5
    assert not comparison.beats_best


class HeaviestVote(VotingRule):
    """Says what weighs most of what it has seen."""

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        self.heaviest_ = np.bincount(y, sample_weight).argmax()
        return self

    def combine(self, ballots):
        return np.eye(ballots.shape[2])[[self.heaviest_] * len(ballots)]


def test_rules_learn_by_weights_and_are_judged_without_them():
    rng = np.random.default_rng(0)
    y = (np.arange(500) % 4 == 0).astype(int)
    ballots, folds = rng.dirichlet([1, 1], (500, 3)), rng.integers(0, 5, 500)
    given = {"names": NAMES, "folds": folds, "voting": HeaviestVote(), "rules": ()}
    for weight, accuracy in ((None, 0.75), (np.where(y == 1, 9.0, 1.0), 0.25)):
        found = compare(ballots, y, sample_weight=weight, **given)
        assert found.vote.figures["accuracy"].value == accuracy


def test_a_vote_at_a_threshold_is_judged_without_it():
    """Thresholds tuned for each would differ by chance: of committees worth nothing more, many
    would be called better or worse."""
    ballots, y, folds = independent(130)
    comparison = compare(ballots, y, names=NAMES, folds=folds, voting="threshold", rules=())
    assert comparison.notes[0].startswith("All are judged without the threshold: thresholds tuned")
    soft = compare(ballots, y, names=NAMES, folds=folds, rules=())
    assert comparison.rows == soft.rows
    strict = ThresholdVote("majority", min_sensitivity=0.8)
    assert compare(ballots, y, names=NAMES, folds=folds, voting=strict).vote.name == "majority"


def test_rules_that_cannot_be_compared_are_noted():
    ballots, y, folds = independent(90)
    comparison = compare(ballots, y, names=NAMES, folds=folds, rules=["threshold", "majority"])
    assert [row.name for row in comparison.rows] == [*NAMES, "majority", "soft"]
    assert comparison.notes[0].startswith("The rule threshold could not be compared. certificate:")


def test_a_rule_whose_rows_do_not_sum_to_1_is_noted():
    class Half(SoftVote):
        def combine(self, ballots):
            return super().combine(ballots) / 2

    ballots, y, folds = independent(90)
    comparison = compare(ballots, y, names=NAMES, folds=folds, rules=[Half()])
    assert [row.name for row in comparison.rows] == [*NAMES, "soft"]
    assert "could not be compared" in comparison.notes[0]
    assert comparison.notes[0] in str(comparison)
    ballots, y, folds = independent(90, n_classes=3)
    comparison = compare(ballots, y, names=NAMES, folds=folds, rules=["threshold"])
    assert "here are 3" in comparison.notes[0]


@pytest.mark.parametrize("n_classes", [2, 7])
def test_by_default_the_quick_rules_are_compared(n_classes):
    ballots, y, folds = independent(350, n_classes)
    comparison = compare(ballots, y, names=NAMES, folds=folds, voting=SoftVote(), n_resamples=10)
    rules = [row.name for row in comparison.rows if row.kind == "rule"]
    assert rules == ["majority", "weighted_majority", "geometric", "median", "greedy"]
    assert comparison.vote.name == "soft"
    assert comparison.notes == []


class NeverVote(SoftVote):
    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        raise CertificateError("nothing can be proved")


def test_a_vote_of_ones_own_that_fails_says_why():
    ballots, y, folds = independent(60)
    with pytest.raises(CertificateError, match="nothing can be proved"):
        compare(ballots, y, names=NAMES, folds=folds, voting=NeverVote())


def test_neither_the_order_of_members_nor_the_run_changes_the_verdict():
    ballots, y, folds = independent(300)
    first = compare(ballots, y, names=NAMES, folds=folds, n_resamples=50)
    again = compare(ballots, y, names=NAMES, folds=folds, n_resamples=50)
    assert first.to_dict() == again.to_dict()
    turned = compare(ballots[:, ::-1], y, names=NAMES[::-1], folds=folds, n_resamples=50)
    assert turned.sentence == first.sentence


def test_it_prints_and_becomes_plain_numbers():
    ballots, y, folds = independent(200)
    comparison = compare(ballots, y, names=NAMES, folds=folds, rules=["majority"], n_resamples=50)
    text = str(comparison)
    assert text.startswith("Does the vote earn its keep? (200 images of 200 lesions; ")
    assert text.endswith("\n\n" + comparison.sentence)
    assert f"| best member: {comparison.best_member}" in text
    assert text.count("| member: ") == 2
    plain = json.loads(json.dumps(comparison.to_dict()))
    assert plain["sentence"] == comparison.sentence
    assert plain["beats_best"] == comparison.beats_best
    assert [row["name"] for row in plain["rows"]] == [*NAMES, "majority", "soft"]


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure(0.1, np.nan, np.nan), "+0.100"),
        (Figure(-1e-5, -0.01, 0.02), "+0.000 (-0.010 to 0.020)"),
    ],
)
def test_a_difference_without_an_interval_has_none_printed(figure, text):
    assert _signed(figure) == text


def said(low, high, only_vote, only_member, p) -> str:
    """The sentence on one difference of balanced accuracy and one test."""
    figure = Figure((low + high) / 2, low, high)
    rows = [Contender(kind, "a", {}, {"balanced accuracy": figure}) for kind in ("member", "vote")]
    none = Diversity(("a",), *4 * [np.ones((1, 1))])
    tests = [PairedTest("a", only_vote, only_member, p, p)]
    return Comparison(rows, "a", tests, none, 1, 1).sentence


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ((0.01, 0.03, 30, 9, 0.0012), "beats .*0.030), exact McNemar p = 0.0012 after Holm."),
        (
            (0.01, 0.03, 12, 9, 0.66),
            "beats .*, though lesion by lesion no difference is shown (exact McNemar p = 0.66"
            " after Holm).",
        ),
        ((0.01, 0.03, 9, 40, 0.001), "beats .*, though it gets fewer lesions right (exact"),
        (
            (-0.01, 0.03, 40, 9, 0.001),
            "does not beat .*, though it gets more lesions right (exact McNemar p = 0.001 after"
            " Holm); change the rule, or add members that differ.",
        ),
        ((-0.01, 0.03, 9, 9, 1.0), "does not beat .*, exact McNemar p = 1 after Holm; keep that"),
        ((-0.03, -0.01, 9, 9, 1.0), "does not beat .*, though lesion by lesion no difference is"),
        ((-0.03, -0.01, 40, 9, 0.001), "does not beat .*, though it gets more lesions right"),
        (
            (-0.03, -0.01, 9, 40, 1e-7),
            "is worse than .*, exact McNemar p < 0.0001 after Holm; keep",
        ),
        ((np.nan, np.nan, 40, 9, 0.001), "does not beat .*, though it gets more lesions right"),
    ],
)
def test_figures_and_test_are_both_told_where_they_disagree(case, text):
    assert re.search(re.escape(text).replace(r"\.\*", ".*"), said(*case))


GOOD = {"y": [0, 1, 1, 0], "names": NAMES, "folds": [0, 0, 1, 1], "groups": None}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"y": [0, 1]}, "lengths: 2 labels – the ballots are of 4 images and 3 members"),
        ({"folds": [0], "names": []}, "lengths: 1 folds, 0 names – the ballots are of 4"),
        ({"sample_weight": [1]}, "lengths: 1 weights – the ballots are of 4 images and 3 members"),
        ({"groups": [1, 2]}, "groups: 2 lesions – one per sample is needed, y has 4"),
        ({"groups": [1, 1, 2, 3]}, r"lesions: 1 \(0, 1\) – one lesion has several labels"),
        ({"names": ["a"]}, "lengths: 1 names – the ballots are of 4 images and 3 members"),
        ({"names": ["a", "b", "a"]}, "names: a, b, a – members of one name cannot be told apart"),
        ({"y": [0, 1, 2, 0]}, "y: 0 to 2 – not indices of the 2 classes of the ballots"),
        ({"y": ["a", "b", "a", "b"]}, "y: 'a', 'b' – not class indices – encode the labels"),
        ({"y": [np.nan, 0, 1, 0]}, "y: nan, 0.0, 1.0 – not class indices – encode the labels"),
        ({"n_resamples": -1}, "n_resamples: -1 – not a whole number from 0 – pass one such as 10"),
        ({"folds": [3, 3, 3, 3]}, "folds: one fold – rules are learnt without the fold that they"),
        ({"voting": "borda"}, "voting: 'borda' – not one of"),
        ({"rules": ["soft", "borda"]}, "voting: 'borda' – not one of"),
    ],
)
def test_what_cannot_be_compared_is_named(change, text):
    with pytest.raises(InputError, match=text):
        compare(np.full((4, 3, 2), 0.5), **{**GOOD, **change})


def test_ballots_have_to_be_probabilities():
    with pytest.raises(InputError, match="ballots: sample 0 of member 0"):
        compare(np.full((4, 3, 2), 0.7), **GOOD)


@pytest.mark.parametrize("vote", [ThresholdVote, EarlyExitVote])
def test_a_threshold_is_left_out_wherever_it_sits(vote):
    # 65 lesions prove a sensitivity of 95 %, the 52 that are left without a fold do not.
    ballots, y, _ = independent(130)
    rule = ThresholdVote() if vote is ThresholdVote else EarlyExitVote("threshold", tolerance=0.5)
    plain = SoftVote() if vote is ThresholdVote else EarlyExitVote("soft", tolerance=0.5)
    folds = np.arange(130) // 2 % 5
    found, expected = (
        compare(ballots, y, names=NAMES, folds=folds, voting=each, rules=())
        for each in (rule, plain)
    )
    assert found.vote == expected.vote
    assert "without the threshold" in found.notes[0] and not expected.notes


@pytest.mark.parametrize(
    "rule",
    [
        LogitAdjustedVote(),
        EarlyExitVote("logit_adjusted"),
        CalibratedVote("logit_adjusted"),
        EarlyExitVote(CalibratedVote(LogitAdjustedVote(tau=0.5))),
    ],
)
def test_a_committee_of_copies_gains_nothing_however_the_vote_is_adjusted(rule):
    rng = np.random.default_rng(0)
    y = (rng.random(3000) < 0.08).astype(int)
    p = 1 / (1 + np.exp(4 - 2 * y - rng.standard_normal(3000)))
    ballots = np.stack([1 - p, p], axis=1)[:, None].repeat(3, axis=1)
    found = compare(ballots, y, names=NAMES, folds=np.arange(3000) % 5, voting=rule, rules=())
    assert found.vote.differences["balanced accuracy"].value == 0
    assert "Each member is adjusted as the vote is, by a power of its own." in found.notes
