from __future__ import annotations

import json
from copy import deepcopy

import numpy as np
import pytest
from committees import MALIGNANT, committee, lesion_table
from sklearn.base import clone
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score, roc_auc_score

from skinensemble import (
    Cascade,
    GreedyVote,
    MajorityVote,
    Referral,
    SoftVote,
    Stage,
    ThresholdVote,
    VotingRule,
    evaluate,
    load,
)
from skinensemble.exceptions import InputError, UngroupedWarning
from skinensemble.voting import break_ties


@pytest.fixture(scope="module")
def fresh():
    return lesion_table(200, seed=5)


@pytest.fixture(scope="module")
def cascade():
    X, y, lesions = lesion_table(200)
    triage = Stage(committee(), voting="threshold", cv=3)
    return Cascade(triage, random_state=0).fit(X, y, groups=lesions)


@pytest.fixture(scope="module")
def report(cascade, fresh):
    X, y, lesions = fresh
    return evaluate(cascade, X, y, groups=lesions, n_resamples=100)


def test_other_images_of_lesions_that_were_trained_on_are_told(cascade, fresh):
    known, (X, y, lesions) = lesion_table(200), fresh
    own, other = known[2][0], lesions[y == known[1][0]][0]
    n, renamed = np.sum(lesions == other), np.where(lesions == other, own, lesions)
    found = evaluate(cascade, X, y, groups=renamed, n_resamples=10)
    what = f"{n} of {len(y)} samples show lesions that were trained on"
    assert found.notes[0].startswith(f"Attention: {what}; these figures flatter.")
    assert "trained on" not in str(evaluate(cascade, X, y, groups=lesions, n_resamples=10))


def row(rows, name):
    (found,) = [row for row in rows if row.name == name]
    return found


def test_each_voter_has_a_row_beside_the_constant_answers(report):
    triage = [(row.kind, row.name) for row in report.triage]
    assert triage == [
        ("constant", "always benign"),
        ("constant", "always malignant"),
        *(("member", name) for name in ("linear", "bayes", "lda")),
        *(("rule", name) for name in ("majority", "soft", "threshold")),
    ]
    diagnosis = [row.name for row in report.diagnosis]
    assert diagnosis[0].startswith("always ")
    assert diagnosis[1:] == [
        *("linear", "bayes", "lda", "majority", "soft"),
        *("soft route", "hard route"),
    ]


@pytest.mark.parametrize(
    ("name", "rule", "member"),
    [
        ("bayes", SoftVote(), 1),
        ("majority", MajorityVote(), None),
        ("soft", SoftVote(), None),
        ("threshold", ThresholdVote(), None),
    ],
)
def test_figures_of_the_triage_are_those_of_scikit_learn(
    cascade, fresh, report, name, rule, member
):
    X, y, _ = fresh
    stage, truth = cascade.triage_, np.isin(y, MALIGNANT)
    ballots = stage.ballots(X)
    ballots = ballots if member is None else ballots[:, [member]]
    rule.fit(stage.ballots_, stage.targets_, groups=stage.lesions_)
    found, score = rule.decide(ballots) == 1, rule.combine(ballots)[:, 1]
    got = row(report.triage, name)
    figures = {key: figure.value for key, figure in got.figures.items()}
    assert figures == pytest.approx(
        {
            "accuracy": accuracy_score(truth, found),
            "balanced accuracy": balanced_accuracy_score(truth, found),
            "AUC": roc_auc_score(truth, score),
            "sensitivity": recall_score(truth, found),
            "specificity": recall_score(~truth, ~found),
            "ECE": _calibration_error(truth, score),
        }
    )
    assert (got.misses, got.false_alarms) == (np.sum(truth & ~found), np.sum(~truth & found))


def _calibration_error(truth, score) -> float:
    """Error over fifteen bins, one bin at a time."""
    bins = np.ceil(np.maximum(score, 1e-9) * 15)
    return sum(
        abs(score[bins == b].mean() - truth[bins == b].mean()) * np.mean(bins == b)
        for b in np.unique(bins)
    )


def test_the_hard_route_is_that_of_a_hard_cascade(cascade, fresh, report):
    X, y, _ = fresh
    table = lesion_table(200)
    hard = clone(cascade).set_params(route="hard").fit(*table[:2], groups=table[2])
    got = row(report.diagnosis, "hard route").figures
    assert got["accuracy"].value == pytest.approx(np.mean(hard.predict(X) == y))
    area = roc_auc_score(y, hard.predict_proba(X), multi_class="ovr")
    assert got["AUC"].value == pytest.approx(area)


def test_what_could_be_decided_is_said_of_both_stages(cascade, fresh, report):
    X, y, lesions = fresh
    assert set(report.certainty) == {"triage", "diagnosis"}
    proba = cascade.diagnosis_.predict_proba(X).max(axis=1)
    correct = cascade.diagnosis_.predict(X) == y
    names = np.unique(lesions)
    sure = np.array([proba[lesions == g].min() for g in names])
    right = np.array([correct[lesions == g].all() for g in names])
    order = np.argsort(-sure)
    shares = np.cumsum(right[order]) / np.arange(1, len(names) + 1)
    got = report.certainty["diagnosis"]
    assert got["AURC"].value == pytest.approx(np.mean(1 - shares))
    expected = (np.flatnonzero(shares >= 0.95).max(initial=-1) + 1) / len(names)
    assert got["coverage at 95 % accuracy"].value == pytest.approx(expected)
    assert got["AURC"].low < got["AURC"].value < got["AURC"].high


def test_a_referral_is_judged_too(fresh):
    X, y, lesions = lesion_table(240)
    cascade = Cascade(Stage(committee(), cv=2), refer=Referral(coverage=0.6), random_state=0)
    judged = evaluate(cascade.fit(X, y, groups=lesions), *fresh[:2], groups=fresh[2])
    verdicts = cascade.verdicts(fresh[0])
    kept = np.array([verdict.referred != "triage" for verdict in verdicts])
    correct = np.array([verdict.malignant for verdict in verdicts]) == np.isin(fresh[1], MALIGNANT)
    names = np.unique(fresh[2])
    kept = np.array([kept[fresh[2] == g].all() for g in names])
    right = np.array([correct[fresh[2] == g].all() for g in names])
    got = judged.certainty["triage"]
    assert got["decided"].value == pytest.approx(kept.mean())
    assert got["right of these"].value == pytest.approx(right[kept].mean())
    how = "out of fold; approximate"
    assert f"Referral of the triage ({how}): {cascade.triage_referral_}" in str(judged)


def test_it_says_whether_the_votes_earn_their_keep(cascade, report):
    found = cascade.triage_.compare(rules=(), n_resamples=200)
    assert report.earned["triage"] == f"{found.notes[0]} {found.sentence}"
    assert "Out of fold, triage: All are judged without the threshold: " in str(report)
    assert report.earned["diagnosis"].startswith("The vote (")


def test_figures_of_the_whole_cascade(cascade, fresh, report):
    X, y, _ = fresh
    got = row(report.diagnosis, "soft route").figures
    assert got["accuracy"].value == pytest.approx(np.mean(cascade.predict(X) == y))
    assert got["balanced accuracy"].value == pytest.approx(
        balanced_accuracy_score(y, cascade.predict(X))
    )
    proba = cascade.predict_proba(X)
    assert got["AUC"].value == pytest.approx(roc_auc_score(y, proba, multi_class="ovr"))
    soft = row(report.diagnosis, "soft").figures["accuracy"].value
    ballots = cascade.diagnosis_.ballots(X)
    flat = cascade.classes_[break_ties(ballots.mean(axis=1), ballots)]
    assert soft == pytest.approx(np.mean(flat == y))


def test_constant_answers(fresh, report):
    truth = np.isin(fresh[1], MALIGNANT)
    benign, malignant = (row(report.triage, f"always {side}") for side in ("benign", "malignant"))
    assert benign.figures["accuracy"].value == pytest.approx(np.mean(~truth))
    assert (benign.misses, benign.false_alarms) == (truth.sum(), 0)
    assert (malignant.misses, malignant.false_alarms) == (0, np.sum(~truth))
    assert benign.figures["AUC"].value == 0.5


def test_intervals_hold_their_figure_and_have_a_width(report):
    for got in (*report.triage[2:], *report.diagnosis[1:]):
        for figure in got.figures.values():
            assert figure.low <= figure.value <= figure.high
            assert figure.high - figure.low < 0.3
        assert got.figures["accuracy"].low < got.figures["accuracy"].high


def test_lesions_are_counted_by_their_worst_image(cascade, fresh, report):
    X, y, lesions = fresh
    found, truth = cascade.predict_malignant(X), np.isin(y, MALIGNANT)
    names = {side: np.unique(lesions[truth == side]) for side in (True, False)}
    assert report.lesions == {
        "n_malignant": len(names[True]),
        "misses": sum(not found[lesions == g].all() for g in names[True]),
        "n_benign": len(names[False]),
        "false_alarms": sum(bool(found[lesions == g].any()) for g in names[False]),
    }
    assert (report.n_images, report.n_lesions) == (len(y), 200)


def test_it_prints_as_markdown_and_becomes_json(cascade, report):
    text = str(report)
    assert "| rule: threshold " in text
    assert "| constant: always benign " in text
    assert f"Promised: {cascade.certificate_}" in text
    assert f"{report.lesions['misses']} of 120 malignant lesions missed" in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    back = json.loads(json.dumps(report.to_dict()))
    assert back["triage"][0]["name"] == "always benign"
    assert back["lesions"] == report.lesions


def test_the_seed_decides_the_intervals_only(cascade, fresh):
    X, y, lesions = fresh
    one, again, other = (
        evaluate(cascade, X, y, groups=lesions, n_resamples=30, random_state=seed).to_dict()
        for seed in (0, 0, 1)
    )
    assert one == again != other
    value = ("figures", "accuracy", "value")
    for a, b in zip(one["triage"], other["triage"], strict=True):
        assert a[value[0]][value[1]][value[2]] == b[value[0]][value[1]][value[2]]


def test_a_rule_that_cannot_be_proved_is_left_out_and_said_so(fresh):
    X, y, lesions = lesion_table(60)
    cascade = Cascade(Stage(committee(), cv=2), random_state=0).fit(X, y, groups=lesions)
    few = evaluate(cascade, *fresh[:2], groups=fresh[2], n_resamples=10)
    assert "threshold" not in [row.name for row in few.triage]
    (note,) = few.notes
    assert note.startswith(
        "The rule threshold could not be compared in the triage. certificate: sensitivity ≥ 0.95"
    )
    assert note in str(few)
    assert few.certificate is None


class TwoOnly(VotingRule):
    """Of more classes it knows nothing."""

    def combine(self, ballots):
        if ballots.shape[2] > 2:
            raise RuntimeError("two classes only")
        return ballots.mean(axis=1)


class Halved(VotingRule):
    """Gives no probabilities."""

    def combine(self, ballots):
        return ballots.mean(axis=1) / 2


def test_a_rule_that_fails_in_one_stage_is_left_out_there_and_said_so(cascade, fresh):
    metric = GreedyVote(lambda y, proba: roc_auc_score(y, proba[:, 1]))
    rules = ("soft", TwoOnly(), metric, Halved())
    found = evaluate(cascade, *fresh[:2], groups=fresh[2], rules=rules, n_resamples=10)
    names = [
        [row.name.partition("(")[0] for row in rows if row.kind == "rule"]
        for rows in (found.triage, found.diagnosis)
    ]
    assert names == [["soft", "TwoOnly", "GreedyVote"], ["soft"]]
    starts = [
        "The rule Halved() could not be compared in the triage. voting rule: Halved – combine gave",
        "The rule TwoOnly() could not be compared in the diagnosis. two classes only",
        "The rule GreedyVote(",
        "The rule Halved() could not be compared in the diagnosis. voting rule: Halved – combine",
    ]
    assert len(found.notes) == len(starts)
    for note, start in zip(found.notes, starts, strict=True):
        assert note.startswith(start) and note in str(found)


def test_a_rule_that_is_not_known_is_refused_before_anybody_votes(cascade, fresh, monkeypatch):
    monkeypatch.setattr(Stage, "cast", lambda *_: pytest.fail("the members were asked"))
    with pytest.raises(InputError, match="voting: 'sofft' – not one of"):
        evaluate(cascade, *fresh[:2], groups=fresh[2], rules=("soft", "sofft"))


def test_rules_of_the_users_own(cascade, fresh):
    X, y, lesions = fresh
    rules = [ThresholdVote(min_sensitivity=0.8), "majority"]
    judged = evaluate(cascade, X, y, groups=lesions, rules=rules, n_resamples=10)
    names = [row.name for row in judged.triage if row.kind == "rule"]
    assert names == ["ThresholdVote(min_sensitivity=0.8)", "majority"]


def test_a_loaded_cascade_is_judged_as_before(cascade, fresh, report, tmp_path):
    X, y, lesions = fresh
    cascade.save(tmp_path / "cascade.h5")
    back = load(tmp_path / "cascade.h5")
    assert str(evaluate(back, X, y, groups=lesions, n_resamples=100)) == str(report)


def test_a_threshold_set_on_fresh_lesions_is_shown_beside_the_rule_of_its_name(cascade, fresh):
    X, y, lesions = fresh
    certified = deepcopy(cascade)
    certified.certify(X, y, groups=lesions)
    judged = evaluate(certified, X, y, groups=lesions, n_resamples=5)
    what = f"{len(y)} of {len(y)} samples set the threshold"
    assert f"Attention: {what}; these figures flatter." in str(judged)
    assert row(judged.triage, "as trained").misses == np.sum(
        np.isin(y, MALIGNANT) & ~certified.predict_malignant(X)
    )


@pytest.mark.parametrize(
    ("way", "words", "together"),
    [
        ("worst", "worst image", min),
        ("highest", "highest image", max),
        ("mean", "mean of", np.mean),
    ],
)
def test_lesions_are_counted_as_they_were_promised(fresh, way, words, together):
    X, y, lesions = lesion_table(240)
    rule = ThresholdVote(lesion=way, min_sensitivity=0.9)
    cascade = Cascade(Stage(committee(), voting=rule, cv=2), malignant=MALIGNANT, random_state=0)
    judged = evaluate(cascade.fit(X, y, groups=lesions), *fresh[:2], groups=fresh[2], n_resamples=5)
    p, malignant = cascade.malignant_proba(fresh[0]), np.isin(fresh[1], MALIGNANT)
    scores = [together(p[fresh[2] == one]) for one in np.unique(fresh[2][malignant])]
    assert judged.lesions["misses"] == np.sum(np.array(scores) < cascade.certificate_.threshold)
    assert f"lesion by lesion ({words}" in str(judged)
    assert (f"a lesion by the {way}" in judged.certificate) == (way != "worst")


def test_without_groups_each_image_is_a_lesion(cascade, fresh):
    X, y, _ = fresh
    text = "^groups: not given – images of one lesion count as several, so .* – pass groups=lesion"
    with pytest.warns(UngroupedWarning, match=text):
        judged = evaluate(cascade, X, y, n_resamples=5)
    assert judged.n_lesions == len(y)
    assert str(judged).startswith("Attention: lesions not known: images of one lesion count as se")


def test_one_side_only_gives_what_can_be_given(cascade, fresh):
    X, y, lesions = fresh
    nv = y == "nv"
    judged = evaluate(cascade, X[nv], y[nv], groups=lesions[nv], n_resamples=20)
    figures = row(judged.triage, "soft").figures
    assert np.isnan([figures["sensitivity"].value, figures["AUC"].value]).all()
    assert 0 <= figures["specificity"].value <= 1
    assert "0 of 0 malignant lesions missed" in str(judged)


def test_unknown_labels_are_named(cascade, fresh):
    X, y, lesions = fresh
    y = np.where(np.arange(len(y)) < 3, "scc", y)
    with pytest.raises(InputError, match=r"labels: scc – the cascade knows akiec, .* – map or rem"):
        evaluate(cascade, X, y, groups=lesions)


def test_lengths_that_differ_are_refused(cascade, fresh):
    X, y, lesions = fresh
    n = len(y)
    with pytest.raises(InputError, match=rf"lengths: y \({n - 1}\) – X has {n} samples"):
        evaluate(cascade, X, y[:-1], groups=lesions)
    with pytest.raises(InputError, match=rf"lengths: groups \({n - 1}\) – X has {n} samples"):
        evaluate(cascade, X, y, groups=lesions[:-1])


def test_lesions_that_are_missing_or_of_two_diagnoses_are_refused(cascade, fresh):
    X, y, lesions = fresh
    some = np.where(np.arange(len(y)) < 2, None, lesions.astype(object))
    for missing in (some, [np.nan if one is None else one for one in some]):
        with pytest.raises(InputError, match="groups: rows 0, 1 – the lesion is missing – give"):
            evaluate(cascade, X, y, groups=missing)
    with pytest.raises(InputError, match=r"all .* – one lesion has several labels"):
        evaluate(cascade, X, y, groups=["all"] * len(y))


def test_a_rule_that_learnt_from_weighted_samples_is_judged_as_trained(fresh):
    X, y, lesions = lesion_table(200)
    stages = [Stage(committee()[:2], voting=voting, cv=3) for voting in ("stacking", "soft")]
    for weight, known in ((None, False), (np.where(np.isin(y, MALIGNANT), 9.0, 1.0), True)):
        cascade = Cascade(*stages, random_state=0)
        cascade.fit(X, y, groups=lesions, sample_weight=weight)
        X_new, y_new, groups = fresh
        found = evaluate(cascade, X_new, y_new, groups=groups, rules=["stacking"], n_resamples=10)
        assert (found.triage[-1].name == "as trained") is known


def test_labels_that_are_missing_are_told_by_their_rows(cascade, fresh):
    X, y, lesions = fresh
    y = [None, *y[1:]]
    with pytest.raises(InputError, match="y: rows 0 – the label is missing – label or remove"):
        evaluate(cascade, X, y, groups=lesions)


@pytest.mark.parametrize("number", [-1, 1.5, None])
def test_resamples_are_a_number(cascade, fresh, number):
    with pytest.raises(InputError, match=rf"n_resamples: {number} – not a whole number from 0"):
        evaluate(cascade, *fresh[:2], groups=fresh[2], n_resamples=number)
