"""Optuna on the same estimators: continuous parameters, pruning, and a study that goes on.

    pip install optuna
    python examples/search_optuna.py --trials 30 --storage sqlite:///study.db

Each trial sets parameters by their nested names and is judged fold by fold; one that is worse than
the median after a fold is pruned. The images pass the backbone once, whatever the number of trials.
With ``--storage`` the study is kept, and the same command goes on with it. The lesions are drawn
and the network is random: this shows the steps and says nothing of skin.
"""

from __future__ import annotations

import argparse

import numpy as np
import optuna
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold

from skinensemble import Stage, TransferClassifier
from skinensemble.datasets import make_lesions

UNITS = {"linear": (), "16": (16,), "32x16": (32, 16)}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--timeout", type=float, help="seconds for the search")
    parser.add_argument("--storage", help="where the study is kept, such as sqlite:///study.db")
    return parser.parse_args()


def suggest(trial: optuna.Trial) -> dict:
    """Draw parameters, under the names that `set_params` takes."""
    return {
        "net__units": UNITS[trial.suggest_categorical("units", list(UNITS))],
        "net__dropout": trial.suggest_float("dropout", 0.0, 0.6),
        "net__l2": trial.suggest_float("l2", 1e-5, 1e-2, log=True),
        "net__learning_rate": trial.suggest_float("learning_rate", 5e-4, 2e-2, log=True),
        "net__class_weight": trial.suggest_float("class_weight", 0.0, 1.0),
    }


def main() -> None:
    """Run the study, and train a stage of the best three."""
    args = parse_args()
    lesions = make_lesions(140, size=32, weights="balanced", random_state=0)
    X, y, groups = lesions.images, lesions.target, lesions.groups
    net = TransferClassifier("vgg16", weights=None, image_size=32, epochs=4, random_state=0)
    stage = Stage([("net", net)])
    folds = list(StratifiedGroupKFold(3, shuffle=True, random_state=0).split(X, y, groups))

    def objective(trial: optuna.Trial) -> float:
        (_, member), losses = clone(stage).set_params(**suggest(trial)).members[0], []
        for step, (train, test) in enumerate(folds):
            fitted = clone(member).fit(X[train], y[train], groups=groups[train])
            losses.append(log_loss(y[test], fitted.predict_proba(X[test]), labels=fitted.classes_))
            trial.report(float(np.mean(losses)), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(losses))

    study = optuna.create_study(
        study_name="skinensemble",
        storage=args.storage,
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
    )
    study.optimize(objective, n_trials=args.trials, timeout=args.timeout)
    done = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    pruned = len(study.trials) - len(done)
    print(f"{len(done)} trials on all folds, {pruned} pruned; log loss {study.best_value:.3f}")

    best = [
        clone(stage).set_params(**suggest(optuna.trial.FixedTrial(one.params)))
        for one in sorted(done, key=lambda one: one.value)[:3]
    ]
    members = [(f"trial {i}", one.members[0][1]) for i, one in enumerate(best)]
    committee = Stage(members, voting="greedy", cv=3, random_state=0).fit(X, y, groups=groups)
    print(committee.compare(rules=("soft",)).sentence)


if __name__ == "__main__":
    main()
