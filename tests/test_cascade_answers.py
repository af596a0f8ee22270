"""Referral, routing and prevalence: what a fitted cascade answers, beside plain verdicts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from committees import MALIGNANT, Recorder, committee, lesion_table, notebook
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skinensemble import Cascade, EarlyExitVote, Referral, Stage, ThresholdVote, load
from skinensemble.exceptions import CalibrationWarning, InputError, ReferralWarning
from skinensemble.persistence import save
from skinensemble.prevalence import restate

# Most committees here are not calibrated, whatever prevalence is stated.
pytestmark = pytest.mark.filterwarnings("ignore::skinensemble.exceptions.CalibrationWarning")
TABLE = lesion_table(240)
FRESH = lesion_table(150, seed=5)


def trained(voting="soft", **options) -> Cascade:
    X, y, lesions = TABLE
    stages = Stage(committee(), voting=voting, cv=3), Stage(committee(), cv=3)
    return Cascade(*stages, malignant=MALIGNANT, random_state=0, **options).fit(
        X, y, groups=lesions
    )


@pytest.fixture(scope="module")
def plain():
    return trained()


@pytest.fixture(scope="module")
def referring():
    return trained(refer=Referral(coverage=0.7))


def test_referral_withholds_verdicts_and_changes_none(plain, referring):
    X = FRESH[0]
    before, after = plain.verdicts(X), referring.verdicts(X)
    referred = np.array([verdict.referred for verdict in after])
    assert {None, "triage", "diagnosis"} == set(referred)
    assert 0.1 < np.mean(referred == "triage") < 0.5
    for old, new in zip(before, after, strict=True):
        assert (old.malignant, old.p_malignant, old.triage_votes) == (
            new.malignant,
            new.p_malignant,
            new.triage_votes,
        )
        assert new.answer == ("refer" if new.referred == "triage" else old.answer)
        if new.referred == "triage":
            assert new.diagnosis is None
            assert str(new).startswith("refer (p malignant = ")
        else:
            assert new.diagnosis == old.diagnosis
        if new.referred == "diagnosis":
            assert new.malignant
            assert f": refer, perhaps {new.diagnosis} (p" in str(new)


def test_what_a_prevalence_changes_is_referred(referring):
    X = FRESH[0]
    before, rare = referring.verdicts(X), referring.verdicts(X, prevalence=0.01)
    changed = [old.malignant != new.malignant for old, new in zip(before, rare, strict=True)]
    given = [old.referred != "triage" for old in before]
    assert np.sum(np.array(changed) & given) > 5
    assert {new.referred for new, one in zip(rare, changed, strict=True) if one} == {"triage"}
    same = [new for new, one in zip(rare, changed, strict=True) if not one]
    assert any(new.referred is None for new in same)


def test_members_vote_at_the_prevalence_that_is_stated():
    X, y, lesions = TABLE
    stage = Stage([("linear", LogisticRegression(max_iter=500))], cv=3)
    cascade = Cascade(stage, malignant=MALIGNANT, random_state=0).fit(X, y, groups=lesions)
    for prevalence in (None, 0.01, 0.9):
        verdicts = cascade.verdicts(FRESH[0], prevalence=prevalence)
        # One member alone says what the cascade says.
        assert {verdict.agreement for verdict in verdicts} == {1.0}


def test_what_is_decided_is_right_more_often(plain, referring):
    X, y, _ = FRESH
    truth = np.isin(y, MALIGNANT)
    verdicts = referring.verdicts(X)
    kept = np.array([verdict.referred != "triage" for verdict in verdicts])
    right = np.array([verdict.malignant for verdict in verdicts]) == truth
    assert right[kept].mean() > right.mean() + 0.02
    np.testing.assert_array_equal(plain.predict(X), referring.predict(X))


def test_the_referral_is_learnt_out_of_fold_and_by_lesion(referring):
    stage = referring.triage_
    sides = stage.voting_.combine(stage.ballots_)
    found = Referral(coverage=0.7).fit(
        sides.max(axis=1), sides.argmax(axis=1) == stage.targets_, stage.lesions_
    )
    assert referring.triage_referral_.threshold_ == found.threshold_
    assert referring.triage_referral_.n_lesions_ == len(set(TABLE[2]))


def test_a_certified_sensitivity_holds_with_referral_as_without():
    rule = ThresholdVote(min_sensitivity=0.9)
    without, with_ = trained(rule), trained(rule, refer=Referral(coverage=0.6))
    assert with_.certificate_ == without.certificate_
    truth = np.isin(FRESH[1], MALIGNANT)
    missed = {
        name: sum(
            v.answer == "benign" for v, m in zip(c.verdicts(FRESH[0]), truth, strict=True) if m
        )
        for name, c in (("without", without), ("with", with_))
    }
    assert missed["with"] <= missed["without"]


def test_a_new_threshold_learns_the_referral_anew():
    cascade = trained(ThresholdVote(min_sensitivity=0.8), refer=Referral(coverage=0.6))
    before = cascade.triage_referral_.threshold_
    cascade.certify(FRESH[0], FRESH[1], groups=FRESH[2], min_sensitivity=0.95)
    assert cascade.triage_referral_.threshold_ != before


def test_a_vote_that_stops_at_a_threshold_is_certified_and_refers():
    """Its old threshold, which few lesions of a fold could not prove again, is no more in it."""
    cascade = trained(EarlyExitVote(ThresholdVote(min_sensitivity=0.97)), refer=0.5)
    cascade.certify(FRESH[0], FRESH[1], groups=FRESH[2], min_sensitivity=0.9)
    assert cascade.certificate_.kind == "held-out"
    assert "The vote (" in cascade.triage_.earned()


def test_a_certificate_whose_referral_cannot_be_learnt_changes_nothing(monkeypatch):
    cascade = trained(ThresholdVote(min_sensitivity=0.8), refer=Referral(coverage=0.6))
    before, certificate = cascade.verdicts(FRESH[0]), cascade.certificate_

    def fail(*_, **__):
        raise InputError("nothing to learn")

    monkeypatch.setattr(Referral, "fit", fail)
    with pytest.raises(InputError, match="nothing to learn"):
        cascade.certify(FRESH[0], FRESH[1], groups=FRESH[2], min_sensitivity=0.95)
    assert cascade.certificate_ is certificate
    assert cascade.verdicts(FRESH[0]) == before


def test_an_accuracy_is_short_for_a_referral():
    cascade = trained(refer=0.5)
    assert cascade.triage_referral_.min_accuracy == 0.5
    assert cascade.triage_referral_.n_decided_ > 0
    with pytest.warns(ReferralWarning):
        assert all(verdict.answer == "refer" for verdict in trained(refer=0.999).verdicts(FRESH[0]))


def test_the_referral_is_saved(tmp_path, referring):
    save(referring, tmp_path / "c.h5")
    back = load(tmp_path / "c.h5")
    assert back.verdicts(FRESH[0]) == referring.verdicts(FRESH[0])
    assert str(back.triage_referral_) == str(referring.triage_referral_)
    assert clone(back).refer.coverage == 0.7


def test_a_prevalence_is_that_of_the_weights_it_was_trained_with(tmp_path):
    X, y, lesions = TABLE
    weight = np.where(np.isin(y, MALIGNANT), 3.0, 1.0)
    stage = Stage([("linear", LogisticRegression(max_iter=500))], cv=3)
    cascade = Cascade(stage, malignant=MALIGNANT, random_state=0)
    cascade.fit(X, y, groups=lesions, sample_weight=weight)
    share = np.average(np.isin(y, MALIGNANT), weights=weight)
    np.testing.assert_allclose(cascade.triage_.shares_, [1 - share, share])
    expected = restate(cascade.triage_.predict_proba(FRESH[0]), share, 0.02)[:, 1]
    cascade.save(tmp_path / "c.h5")
    for one in (cascade, load(tmp_path / "c.h5")):
        found = one.malignant_proba(FRESH[0], prevalence=0.02)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("one", ["a.jpg", np.array(["a.jpg"])[0]], ids=repr)
@pytest.mark.parametrize("ask", ["predict", "predict_proba", "verdicts", "malignant_proba"])
def test_one_path_is_no_list_of_images(plain, ask, one):
    with pytest.raises(InputError, match=r"^images: .*a.jpg.* – one path; .* – pass \[path\]"):
        getattr(plain, ask)(one)


def test_hard_routing_shows_the_second_stage_only_what_was_found_malignant():
    notes, keep = notebook()
    X, y, lesions = TABLE
    watched = Stage([("one", Recorder(keep))], cv=3)
    cascade = Cascade(Stage(committee(), cv=3), watched, malignant=MALIGNANT, route="hard")
    cascade.fit(X, y, groups=lesions)
    for ask in (cascade.predict, cascade.predict_proba, cascade.verdicts):
        notes.clear()
        ask(FRESH[0])
        seen = [note[1] for note in notes if note[0] == "predict_proba"]
        malignant = cascade.predict_malignant(FRESH[0])
        np.testing.assert_array_equal(seen[0], FRESH[0][malignant])
        assert len(seen) == 1


def test_hard_and_soft_agree_on_what_is_malignant(plain):
    hard = trained(route="hard")
    X = FRESH[0]
    malignant = plain.predict_malignant(X)
    np.testing.assert_array_equal(hard.predict_malignant(X), malignant)
    np.testing.assert_array_equal(hard.predict(X)[malignant], plain.predict(X)[malignant])
    assert hard.verdicts(X) == plain.verdicts(X)


def test_hard_probabilities_are_those_of_the_procedure():
    hard = trained(route="hard")
    X, mask = FRESH[0], hard.malignant_mask_
    proba, malignant = hard.predict_proba(X), hard.predict_malignant(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(proba[:, mask].sum(axis=1), malignant)
    shares = np.array([np.mean(TABLE[1] == label) for label in hard.classes_[~mask]])
    np.testing.assert_allclose(
        proba[~malignant][:, ~mask], [shares / shares.sum()] * sum(~malignant)
    )
    commonest = hard.classes_[~mask][shares.argmax()]
    assert set(hard.predict(X)[~malignant]) == {commonest}


def test_hard_routing_when_nothing_is_malignant():
    hard = trained(route="hard")
    benign = FRESH[0][~hard.predict_malignant(FRESH[0])][:3]
    assert len(hard.predict(benign)) == len(hard.predict_proba(benign)) == 3
    assert [verdict.diagnosis for verdict in hard.verdicts(benign)] == [None] * 3


def test_the_route_is_saved(tmp_path):
    hard = trained(route="hard")
    hard.save(tmp_path / "c.h5")
    back = load(tmp_path / "c.h5")
    assert back.route == "hard"
    np.testing.assert_array_equal(back.predict_proba(FRESH[0]), hard.predict_proba(FRESH[0]))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"route": "both"}, r"^route: 'both' – not one of 'soft', 'hard' – pass one of these"),
        ({"refer": 1.5}, r"^referral: min_accuracy=1.5 – not a number between 0 and 1"),
        ({"refer": "often"}, r"^refer: 'often' – not a number or a Referral"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_trained(options, text):
    notes, keep = notebook()
    cascade = Cascade(Stage([("one", Recorder(keep))]), malignant=MALIGNANT, **options)
    with pytest.raises(InputError, match=text):
        cascade.fit(*TABLE[:2], groups=TABLE[2])
    assert notes == []


def test_probabilities_are_restated_for_a_prevalence(plain):
    X = FRESH[0]
    share = np.isin(TABLE[1], MALIGNANT).mean()
    expected = restate(plain.triage_.predict_proba(X), share, 0.02)[:, 1]
    np.testing.assert_allclose(plain.malignant_proba(X, prevalence=0.02), expected)
    rare = plain.predict_proba(X, prevalence=0.02)
    np.testing.assert_allclose(rare[:, plain.malignant_mask_].sum(axis=1), expected)
    np.testing.assert_allclose(
        plain.malignant_proba(X, prevalence=share), plain.malignant_proba(X), atol=1e-12
    )
    shown = [verdict.p_malignant for verdict in plain.verdicts(X, prevalence=0.02)]
    np.testing.assert_allclose(shown, expected)


def test_decisions_follow_the_prevalence_unless_there_is_a_threshold(plain):
    X = FRESH[0]
    flagged = [plain.predict_malignant(X, prevalence=p).sum() for p in (0.02, 0.3, 0.9)]
    assert flagged[0] < flagged[1] < flagged[2]
    rare = plain.predict(X, prevalence=0.02)
    np.testing.assert_array_equal(
        np.isin(rare, MALIGNANT), plain.predict_malignant(X, prevalence=0.02)
    )
    strict = trained(ThresholdVote(min_sensitivity=0.9))
    np.testing.assert_array_equal(
        strict.predict_malignant(X, prevalence=0.02), strict.predict_malignant(X)
    )


def test_the_prevalence_is_estimated_from_the_images_themselves(plain):
    X, y, _ = FRESH
    benign = np.flatnonzero(~np.isin(y, MALIGNANT))
    few = np.concatenate([benign, np.flatnonzero(np.isin(y, MALIGNANT))[:10]])
    estimated = plain.malignant_proba(X[few], prevalence="estimate")
    assert estimated.mean() < plain.malignant_proba(X[few]).mean()
    with pytest.raises(
        InputError, match=r"^prevalence: 'estimate' – too few images \(49\) .* 50 im"
    ):
        plain.verdicts(X[:49], prevalence="estimate")


@pytest.mark.parametrize("bad", [0, 1.2, "rare", [0.1]])
def test_a_prevalence_that_is_none_is_refused(plain, bad):
    with pytest.raises(InputError, match=r"^prevalence: .* – not a share between 0 and 1 – pass"):
        plain.malignant_proba(FRESH[0], prevalence=bad)


@pytest.mark.parametrize("method", ["temperature", "isotonic", "platt"])
def test_a_stage_calibrates_after_pooling(method, tmp_path):
    X, y, lesions = TABLE
    sides = np.where(np.isin(y, MALIGNANT), "malignant", "benign")
    stage = Stage(committee(), calibration=method, cv=3, random_state=0)
    stage.fit(X, sides, groups=lesions)
    raw = clone(stage).set_params(calibration=None).fit(X, sides, groups=lesions)
    assert (stage.predict_proba(FRESH[0]) != raw.predict_proba(FRESH[0])).any()
    np.testing.assert_array_equal(stage.predict(FRESH[0]), raw.predict(FRESH[0]))
    save(stage, tmp_path / "s.h5")
    np.testing.assert_array_equal(
        load(tmp_path / "s.h5").predict_proba(FRESH[0]), stage.predict_proba(FRESH[0])
    )


def test_a_threshold_is_restated_as_the_probability_is():
    cascade, X = trained("threshold"), FRESH[0]
    for prevalence in (0.02, 0.5, "estimate"):
        for verdict in cascade.verdicts(X, prevalence=prevalence):
            # Of equals one may be off by a rounding.
            odd = abs(verdict.p_malignant - verdict.threshold) < 1e-12
            assert odd or verdict.malignant == (verdict.p_malignant >= verdict.threshold)


ASKING = {
    "malignant_proba": {},
    "predict_malignant": {},
    "predict_proba": {},
    "predict": {},
    "predict_early": {},
    "verdicts": {"early_exit": True},
}


@pytest.mark.parametrize("method", ASKING)
def test_a_prevalence_of_what_is_not_calibrated_warns_once_a_call(plain, method):
    ask, X = getattr(plain, method), FRESH[0][:60]
    text = "^prevalence: 0.02 – the cascade is not calibrated, .* – train it with a calibration"
    with pytest.warns(CalibrationWarning, match=text) as caught:
        ask(X, prevalence=0.02, **ASKING[method])
    assert [one.filename for one in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask(X)


@pytest.mark.parametrize("voting", ["soft", ThresholdVote(min_sensitivity=0.8)], ids=repr)
def test_a_prevalence_of_what_is_calibrated_does_not_warn(voting):
    X, y, lesions = TABLE
    stage = Stage(committee(), voting=voting, calibration="platt", cv=3)
    cascade = Cascade(stage, Stage(committee(), cv=3), malignant=MALIGNANT, random_state=0)
    cascade.fit(X, y, groups=lesions)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cascade.verdicts(FRESH[0], prevalence=0.02)


def test_a_lesion_without_weight_is_no_proof_of_a_referral():
    X, y, lesions = TABLE
    weight = np.where([name[-1] in "123" for name in lesions], 0.0, 1.0)
    stages = Stage(committee()[1:2], cv=3), Stage(committee()[1:2], cv=3)
    cascade = Cascade(*stages, malignant=MALIGNANT, random_state=0, refer=Referral(coverage=0.7))
    cascade.fit(X, y, groups=lesions, sample_weight=weight)
    assert cascade.triage_referral_.n_lesions_ == len(np.unique(lesions[weight > 0]))
