"""scikit-learn's searches over rules and thresholds, with lesions routed to every fit."""

from __future__ import annotations

import numpy as np
import pytest
from committees import MALIGNANT, Recorder, committee, lesion_table, notebook
from sklearn import config_context
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinensemble import CalibratedVote, Cascade, Stage, ThresholdVote
from skinensemble.exceptions import MemberError

X, Y, LESIONS = lesion_table(150)


def test_lesions_and_weights_reach_the_members_through_routing():
    notes, keep = notebook()
    stage = Stage([("one", Recorder(keep))], cv=2)
    weights = np.linspace(0.5, 1.5, len(Y))
    with config_context(enable_metadata_routing=True):
        stage.set_fit_request(groups=True, sample_weight=True)
        scorer = get_scorer("accuracy").set_score_request(sample_weight=False)
        cross_validate(
            stage,
            X,
            Y,
            cv=StratifiedGroupKFold(2),
            scoring=scorer,
            params={"groups": LESIONS, "sample_weight": weights},
        )
    fits = [note for note in notes if note[0] == "fit"]
    assert len(fits) == 2 * 3
    assert all(note[3]["groups"] is not None for note in fits)
    assert all(note[3]["sample_weight"] is not None for note in fits)


@pytest.mark.parametrize("asked", [True, False])
def test_a_pipeline_hands_on_what_its_last_step_requested(asked):
    notes, keep = notebook()
    with config_context(enable_metadata_routing=True):
        last = Recorder(keep).set_fit_request(groups=asked, sample_weight=False)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        Stage([("one", make_pipeline(scaler, last))], cv=2).fit(X, Y, groups=LESIONS)
    fits = [note for note in notes if note[0] == "fit"]
    assert all((note[3]["groups"] is not None) == asked for note in fits)


def test_lesions_that_the_last_step_of_a_pipeline_has_not_asked_for_are_not_lost_unsaid():
    _, keep = notebook()
    with config_context(enable_metadata_routing=True):
        stage = Stage([("one", make_pipeline(StandardScaler(), Recorder(keep)))], cv=2)
        with pytest.raises(MemberError, match=r"member: one – .*groups.* not explicitly set"):
            stage.fit(X, Y, groups=LESIONS)


@pytest.mark.filterwarnings("ignore::skinensemble.exceptions.UngroupedWarning")
def test_a_grid_over_rules_thresholds_and_calibrations():
    cascade = Cascade(
        Stage(committee(), voting=ThresholdVote(min_sensitivity=0.8), cv=2),
        Stage(committee(), cv=2),
        malignant=MALIGNANT,
        random_state=0,
    )
    grid = [
        {"triage__voting__min_sensitivity": [0.7, 0.9], "triage__calibration": [None, "platt"]},
        {"triage__voting": ["majority", "geometric", CalibratedVote("median")]},
        {"diagnosis__voting": ["stacking"], "route": ["hard"]},
    ]
    search = GridSearchCV(cascade, grid, cv=StratifiedGroupKFold(2), scoring="balanced_accuracy")
    search.fit(X, Y, groups=LESIONS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(search.cv_results_["params"]) == 8
    assert search.best_estimator_.predict(X).shape == Y.shape


def test_the_html_shows_both_stages_and_their_members():
    html = Cascade(Stage(committee()), Stage(committee(), voting="stacking"))._repr_html_()
    for text in ("Cascade", "triage", "diagnosis", "GaussianNB", "stacking"):
        assert text in html
