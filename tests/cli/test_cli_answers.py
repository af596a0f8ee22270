"""Calibration, referral, routing and prevalence on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from committees import MALIGNANT, committee, lesion_table

from skinensemble import Cascade, Referral, Stage, load
from skinensemble.cli import main
from skinensemble.persistence import save


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    X, y, lesions = lesion_table(240)
    stage = Stage(committee(), cv=3, calibration="platt")
    cascade = Cascade(
        stage, Stage(committee(), cv=3), malignant=MALIGNANT, refer=Referral(coverage=0.6)
    )
    path = tmp_path_factory.mktemp("answers") / "c.h5"
    cascade.fit(X, y, groups=lesions).save(path)
    return path


def test_info_says_what_is_referred_and_calibrated(saved, capsys):
    assert main(["info", str(saved)]) == 0
    text = capsys.readouterr().out
    referral = load(saved).triage_referral_
    assert "malignant; vote: CalibratedVote over SoftVote; calibrated by platt\n" in text
    assert "nv; vote: SoftVote\n" in text
    assert f"refers: {referral.n_decided_} of {referral.n_lesions_} lesions were decided" in text
    assert main(["info", str(saved), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["route"] == "soft"
    assert found["stages"]["triage"]["voting"]["calibration"] == "platt"
    assert "calibration" not in found["stages"]["diagnosis"]["voting"]
    assert found["referrals"]["triage"]["n_errors"] == referral.n_errors_


def test_info_names_the_calibration_below_a_threshold(tmp_path, capsys):
    X, y, lesions = lesion_table(240)
    stage = Stage(committee(), cv=2, calibration="isotonic", voting="threshold")
    save(stage.fit(X, np.isin(y, MALIGNANT), groups=lesions), tmp_path / "stage.h5")
    assert main(["info", str(tmp_path / "stage.h5")]) == 0
    text = "vote: ThresholdVote over CalibratedVote over SoftVote; calibrated by isotonic"
    assert text in capsys.readouterr().out


def test_train_takes_the_decision_options(train_args, tmp_path, capsys):
    path = tmp_path / "c.h5"
    options = ["--calibration", "temperature", "--refer", "0.5", "--route", "hard"]
    assert main([*train_args, *options, "--voting", "geometric", "--output", str(path)]) == 0
    cascade = load(path)
    assert cascade.route == "hard"
    assert cascade.refer.min_accuracy == 0.5
    assert type(cascade.triage_.voting_).__name__ == "CalibratedVote"
    assert "Certainty: the share of the lesions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--refer", "2"], "referral: --refer 2.0"),
        (["--calibration", "beta"], "invalid choice: 'beta'"),
        (["--route", "both"], "invalid choice: 'both'"),
    ],
)
def test_bad_decision_options_are_usage_errors(options, text, train_args, tmp_path, capsys):
    assert main([*train_args, *options, "--output", str(tmp_path / "c.h5")]) == 2
    assert text in capsys.readouterr().err
