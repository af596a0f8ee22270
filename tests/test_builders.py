from __future__ import annotations

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from skinensemble import (
    CalibratedVote,
    MajorityVote,
    Stage,
    ThresholdVote,
    TransferClassifier,
    list_backbones,
)
from skinensemble.builders import DEFAULT_BACKBONES, make_diagnosis, make_stage
from skinensemble.cascade import make_cascade
from skinensemble.exceptions import InputError


def test_a_member_for_each_backbone_by_its_name():
    stage = make_stage("resnet50", "vgg16", voting="majority", cv=3, epochs=7, verbose=1)
    assert [name for name, _ in stage.members] == ["resnet50", "vgg16"]
    for name, member in stage.members:
        assert isinstance(member, TransferClassifier)
        assert (member.backbone, member.weights, member.epochs) == (name, "imagenet", 7)
    assert (stage.voting, stage.cv, stage.verbose) == ("majority", 3, 1)


def test_members_of_the_users_own_are_taken_as_they_are():
    own = GaussianNB()
    stage = make_stage("resnet50", ("own", own))
    assert stage.members[1] == ("own", own)


def test_weights_for_all_or_by_name():
    for_all = make_stage("resnet50", "vgg16", weights=None)
    by_name = make_stage("resnet50", "vgg16", weights={"vgg16": "here.weights.h5"})
    assert [member.weights for _, member in for_all.members] == [None, None]
    assert [member.weights for _, member in by_name.members] == ["imagenet", "here.weights.h5"]


@pytest.mark.parametrize("make", [make_stage, make_cascade])
def test_weights_of_a_backbone_that_is_not_used_are_refused(make):
    text = "weights: resnet, vgg19 – not among the backbones resnet50, vgg16 – correct the names"
    with pytest.raises(InputError, match=text):
        make("resnet50", "vgg16", weights={"resnet": None, "vgg19": None, "vgg16": None})


@pytest.mark.parametrize("make", [make_stage, make_cascade])
def test_weights_for_a_member_of_the_users_own_are_refused(make):
    text = "weights: own – not among the backbones resnet50 – correct the names"
    with pytest.raises(InputError, match=text):
        make("resnet50", ("own", GaussianNB()), weights={"own": "here.weights.h5"})


@pytest.mark.parametrize("options", [{}, {"unfreeze": 0.4}])
def test_how_many_members_are_trained_at_once_is_for_both_stages(options):
    cascade = make_cascade("resnet50", n_jobs=2, **options)
    stages = [one for one in (cascade.triage, cascade.diagnosis) if isinstance(one, Stage)]
    assert [stage.n_jobs for stage in stages] == [2] * (1 if options else 2)
    assert make_cascade("resnet50").diagnosis.n_jobs is None


@pytest.mark.parametrize(
    ("make", "options", "text"),
    [
        (make_stage, {"learningrate": 1}, "learningrate – no .* – did you mean learning_rate? see"),
        (make_cascade, {"unfreze": 0.3}, "unfreze – no such parameter – did you mean unfreeze? s"),
        (make_cascade, {"votng": "soft", "qqq": 1}, "qqq, votng – .* – did you mean voting? see"),
        (make_cascade, {"malignnt": ["mel"]}, "malignnt – .* – did you mean malignant? see the"),
        (make_cascade, {"n_job": 2}, "n_job – no such parameter – did you mean n_jobs? see the"),
        (make_cascade, {"backbone": "vgg16"}, r'backbone – .* – write make_cascade\("vgg16", "re'),
    ],
)
def test_an_unknown_option_is_refused(make, options, text):
    with pytest.raises(InputError, match=f"^options: {text.replace('?', '[?]')}"):
        make("resnet50", **options)


@pytest.mark.parametrize("make", [make_stage, make_cascade])
@pytest.mark.parametrize("odd", [["resnet50"], ("vgg16", "resnet50"), GaussianNB(), 3])
def test_what_is_no_backbone_is_refused(make, odd):
    text = rf"^backbones: .* – neither the name of a .* – pass one by one, as in {make.__name__}\("
    with pytest.raises(InputError, match=text):
        make(odd, weights=None)


@pytest.mark.parametrize("make", [make_stage, make_cascade])
def test_options_without_a_backbone_to_have_them_are_refused(make):
    text = "options: epochz, units – they are of backbones, and none is named – give them to your"
    with pytest.raises(InputError, match=f"^{text}"):
        make(("own", GaussianNB()), epochz=5, units=(), verbose=1)
    with pytest.raises(InputError, match="options: weights – they are of backbones, and none is"):
        make(("own", GaussianNB()), weights="here.weights.h5")
    make(("own", GaussianNB()), verbose=1, cv=2)


def test_without_names_the_offline_backbones():
    cascade = make_cascade()
    assert [name for name, _ in cascade.triage.members] == list(DEFAULT_BACKBONES)
    assert set(DEFAULT_BACKBONES) <= set(list_backbones())


def test_both_stages_have_members_of_their_own():
    cascade = make_cascade("resnet50", random_state=4, malignant=["mel"], cv=3)
    assert cascade.triage.members[0][1] is not cascade.diagnosis.members[0][1]
    assert (cascade.random_state, cascade.malignant) == (4, ["mel"])
    assert cascade.triage.cv == cascade.diagnosis.cv == 3


@pytest.mark.parametrize(
    ("asked", "triage", "diagnosis"),
    [
        ({}, "soft", "soft"),
        ({"voting": "majority"}, "majority", "majority"),
        ({"voting": "threshold"}, ThresholdVote(), "soft"),
        (
            {"voting": "threshold", "min_sensitivity": 0.9, "confidence": 0.8},
            ThresholdVote(min_sensitivity=0.9, confidence=0.8),
            "soft",
        ),
        ({"voting": ThresholdVote("majority")}, ThresholdVote("majority"), "soft"),
        ({"voting": MajorityVote()}, MajorityVote(), MajorityVote()),
    ],
)
def test_a_threshold_is_for_the_triage_alone(asked, triage, diagnosis):
    cascade = make_cascade("resnet50", **asked)
    assert repr(cascade.triage.voting) == repr(triage)
    assert repr(cascade.diagnosis.voting) == repr(diagnosis)


@pytest.mark.parametrize(
    ("calibration", "of_types"),
    [(None, None), ("temperature", "temperature")]
    + [(method, "temperature") for method in ("platt", "isotonic")],
)
def test_types_are_calibrated_by_temperature(calibration, of_types):
    cascade = make_cascade("resnet50", calibration=calibration)
    assert cascade.triage.calibration == calibration
    assert cascade.diagnosis.calibration == of_types
    diagnosis = make_diagnosis(cascade.triage)
    assert (diagnosis.calibration, diagnosis.voting) == (of_types, "soft")


@pytest.mark.parametrize("voting", [CalibratedVote(method="platt"), CalibratedVote("quorum")])
def test_a_calibrated_vote_for_two_classes_is_for_the_triage_alone(voting):
    assert make_cascade("resnet50", voting=voting).diagnosis.voting == "soft"
    rule = CalibratedVote("median")
    assert repr(make_cascade("resnet50", voting=rule).diagnosis.voting) == repr(rule)


def test_a_promise_of_nothing_is_not_taken_for_the_default():
    rule = make_cascade("vgg16", voting="threshold", min_sensitivity=0).triage.voting
    assert rule.min_sensitivity == 0
    with pytest.raises(InputError, match=r"^min_sensitivity: 0 – it promises nothing – choose"):
        rule.check_targets(np.arange(300) % 2)


@pytest.mark.parametrize("voting", ["soft", "majority", ThresholdVote()])
def test_a_promise_needs_the_threshold_rule(voting):
    with pytest.raises(
        InputError, match=r'^min_sensitivity: 0.95 – it is for .* – use voting="thr'
    ):
        make_cascade("resnet50", voting=voting, min_sensitivity=0.95)
    with pytest.raises(InputError, match=r'^confidence: 0.9 – .* – use voting="threshold"'):
        make_cascade("resnet50", voting=voting, confidence=0.9)
