"""The searches of others work on the same estimators, through nested names."""

from __future__ import annotations

import numpy as np
import pytest
from committees import MALIGNANT, committee, lesion_table
from sklearn import config_context
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import HalvingGridSearchCV, StratifiedGroupKFold, cross_val_score

from skinensemble import Cascade, Stage, search

X, Y, LESIONS = lesion_table(150)


def test_halving_of_scikit_learn_reaches_the_members_of_a_cascade():
    with config_context(enable_metadata_routing=True):
        cascade = Cascade("soft", Stage(committee(), cv=2), malignant=MALIGNANT, random_state=0)
        halving = HalvingGridSearchCV(
            cascade.set_fit_request(groups=True),
            {"diagnosis__linear__C": [0.01, 0.1, 1.0, 10.0], "diagnosis__voting": ["soft"]},
            resource="diagnosis__linear__max_iter",
            min_resources=250,
            max_resources=500,
            factor=2,
            cv=StratifiedGroupKFold(2),
            error_score="raise",
            random_state=0,
        ).fit(X, Y, groups=LESIONS)
    assert halving.n_candidates_ == [4, 2]
    best = halving.best_estimator_.diagnosis_.named_members_.linear
    assert halving.best_params_["diagnosis__linear__C"] == best.C


def test_optuna_searches_the_members_of_a_stage():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folds = list(StratifiedGroupKFold(2).split(X, Y, LESIONS))
    stage = Stage([("net", LogisticRegression(max_iter=500))])

    def objective(trial) -> float:
        params = {"net__C": trial.suggest_float("C", 1e-4, 10.0, log=True)}
        ((_, member),) = clone(stage).set_params(**params).members
        return cross_val_score(member, X, Y, cv=folds, scoring="neg_log_loss").mean()

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=5)
    assert study.best_value == max(trial.value for trial in study.trials)
    # What it found stands beside other candidates in a search of ours.
    tuned = clone(stage).set_params(net__C=study.best_params["C"]).members
    found = search([*tuned, *committee()[1:]], X, Y, groups=LESIONS, cv=folds)
    place = next(place for place in found.leaderboard if place.name == "net")
    assert np.isfinite(place.score)
    assert place.score == pytest.approx(study.best_value, abs=0.02)
