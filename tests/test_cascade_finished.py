"""Finished members that name diagnoses: they vote in both stages of a cascade."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from committees import CODES, MALIGNANT, Recorder, committee, lesion_table, notebook
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinensemble import (
    Cascade,
    EarlyExitVote,
    PretrainedMember,
    Stage,
    ThresholdVote,
    cascade_around,
    load,
    make_cascade,
)
from skinensemble.exceptions import MemberError
from skinensemble.persistence.container import read_container

X, Y, LESIONS = lesion_table(200)
FRESH = lesion_table(60, seed=5)[0]
SIDES = np.where(np.isin(Y, MALIGNANT), "malignant", "benign")


@pytest.fixture(scope="module")
def theirs():
    table = lesion_table(200, seed=9)
    return FrozenEstimator(LogisticRegression().fit(table[0], table[1]))


@pytest.fixture(scope="module")
def cascade(theirs):
    stage = Stage([("theirs", theirs), *committee()], cv=2)
    return Cascade(stage, random_state=0).fit(X, Y, groups=LESIONS)


def test_its_probabilities_are_added_up_by_side_in_the_triage(cascade, theirs):
    types = theirs.predict_proba(FRESH)
    malignant = types[:, np.isin(theirs.classes_, MALIGNANT)].sum(axis=1)
    np.testing.assert_allclose(cascade.triage_.ballots(FRESH)[:, 0, 1], malignant, rtol=1e-12)
    np.testing.assert_allclose(cascade.diagnosis_.ballots(FRESH)[:, 0], types, rtol=1e-12)
    assert cascade.triage.members[0][1] is theirs
    verdict = cascade.verdicts(FRESH)[0]
    assert verdict.triage_votes["theirs"] in ("benign", "malignant")


def test_one_that_answers_in_sides_votes_as_it_is():
    sides = FrozenEstimator(LogisticRegression().fit(X, SIDES))
    stages = Stage([("sides", sides)], cv=2), Stage(committee(), cv=2)
    cascade = Cascade(*stages).fit(X, Y, groups=LESIONS)
    assert cascade.triage_.members_[0] is sides


def test_members_that_are_trained_are_trained_on_sides():
    cascade = Cascade(Stage(committee(), cv=2)).fit(X, Y, groups=LESIONS)
    assert [type(one).__name__ for one in cascade.triage_.members_] == [
        type(one).__name__ for _, one in committee()
    ]


def only(*codes):
    kept = np.isin(Y, codes)
    return FrozenEstimator(LogisticRegression().fit(X[kept], Y[kept]))


WRONG = {
    "unknown": (
        FrozenEstimator(LogisticRegression().fit(X, np.where(Y == "nv", "naevus", Y))),
        r"it votes for naevus, which y does not hold – let it answer in akiec, bcc, bkl, mel, nv, "
        "or in benign and malignant",
    ),
    "one side": (
        only("bkl", "nv"),
        r"all it knows \(bkl, nv\) is of one side – leave it out of the triage",
    ),
    "the other side": (only("bcc", "mel"), r"all it knows \(bcc, mel\) is of one side"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_has_no_two_sides_is_named_before_any_training(case):
    member, text = WRONG[case]
    stages = Stage([("theirs", member), *committee()], cv=2), Stage(committee(), cv=2)
    with pytest.raises(MemberError, match=rf"^member: theirs – {text}"):
        Cascade(*stages).fit(X, Y, groups=LESIONS)


@pytest.mark.parametrize("case", WRONG)
def test_one_that_votes_in_both_stages_is_named_before_any_training_as_well(case):
    notes, share = notebook()
    member, text = WRONG[case]
    stage = Stage([("theirs", member), ("noted", Recorder(share))], cv=2)
    text = text.replace(", or in benign and malignant", "$")
    text = text.replace("leave it out of the triage", "give the triage members of its own")
    with pytest.raises(MemberError, match=rf"^member: theirs – {text}"):
        Cascade("soft", stage).fit(X, Y, groups=LESIONS)
    assert notes == []
    if case != "unknown":  # which no stage knows
        with pytest.raises(MemberError, match=rf"^member: theirs – {text}"):
            cascade_around(stage.fit(X, Y, groups=LESIONS))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    y = np.repeat(CODES, 8)
    return rng.integers(0, 256, (40, 8, 8, 3)).astype(np.uint8), y, np.arange(40)


def test_a_keras_model_of_all_types_votes_in_both_stages(images, tmp_path):
    pixels, y, lesions = images
    keras.utils.set_random_seed(0)
    layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(5, "softmax")]
    codes = CODES[[4, 0, 2, 1, 3]]
    member = PretrainedMember(keras.Sequential(layers), codes.tolist(), preprocess="tf")
    cascade = make_cascade(("theirs", member), cv=2, random_state=0)
    cascade.fit(pixels, y, groups=lesions)
    types = cascade.diagnosis_.ballots(pixels)[:, 0]
    malignant = types[:, cascade.malignant_mask_].sum(axis=1)
    np.testing.assert_allclose(cascade.triage_.ballots(pixels)[:, 0, 1], malignant, atol=1e-6)
    cascade.save(tmp_path / "cascade.h5")
    assert len(read_container(tmp_path / "cascade.h5").config["shared"]) == 1
    back = load(tmp_path / "cascade.h5")
    np.testing.assert_array_equal(back.predict_proba(pixels), cascade.predict_proba(pixels))
    frozen = FrozenEstimator(clone(member).fit(pixels, y))
    other = make_cascade(("theirs", frozen), cv=2, random_state=0).fit(pixels, y, groups=lesions)
    np.testing.assert_allclose(other.triage_.ballots_, cascade.triage_.ballots_, rtol=0, atol=1e-6)


def test_the_certificate_says_what_it_takes_on_trust(theirs, tmp_path):
    """That what came trained has not learnt from these lesions, which only its maker can know."""
    within = make_pipeline(FrozenEstimator(StandardScaler().fit(X)), LogisticRegression())
    stage = Stage([("theirs", theirs), ("within", within), *committee()], voting="threshold", cv=2)
    cascade = Cascade(stage, random_state=0).fit(X, Y, groups=LESIONS)
    assert cascade.certificate_.on_trust == ("theirs", "within")
    said = "approximate; taken on trust: theirs, within learnt from none of them)"
    assert str(cascade.certificate_).endswith(said)
    cascade.save(tmp_path / "cascade.h5")
    assert load(tmp_path / "cascade.h5").certificate_ == cascade.certificate_
    table = lesion_table(200, seed=3)
    assert cascade.certify(*table[:2], groups=table[2]).on_trust == ("theirs", "within")


@pytest.mark.parametrize("rule", [ThresholdVote(), EarlyExitVote(ThresholdVote())])
@pytest.mark.parametrize("refit", [True, False])
def test_nothing_is_on_trust_where_all_members_are_trained(rule, refit):
    two = FrozenEstimator(LogisticRegression().fit(X, SIDES))
    for members, names in [(committee(), ()), ([("two", two), *committee()], ("two",))]:
        stage = Stage(members, voting=rule, cv=2, refit=refit).fit(X, SIDES, groups=LESIONS)
        assert stage.voting_.certificate_.on_trust == names
