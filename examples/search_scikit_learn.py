"""scikit-learn's searches on a whole cascade, with lesions routed to every split and fit.

    python examples/search_scikit_learn.py

A grid over parameters of a member, of its stage and of the cascade, reached by nested names such as
``diagnosis__net__units``. scikit-learn fits the whole cascade anew for each combination; the images
still pass the backbone once. ``skinensemble.search`` is cheaper where members are what is searched,
and keeps their ballots. The lesions are drawn and the network is random: this shows the steps and
says nothing of skin.
"""

from __future__ import annotations

import argparse

import sklearn
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, StratifiedGroupKFold

from skinensemble import Cascade, Stage, TransferClassifier
from skinensemble.datasets import make_lesions

GRID = {
    "diagnosis__net__units": [(), (16,)],
    "diagnosis__net__class_weight": [None, "balanced"],
    "diagnosis__voting": ["soft", "median"],
}


def parse_args() -> argparse.Namespace:
    """Read the command line, which has but ``--help``."""
    return argparse.ArgumentParser(description=__doc__.split("\n\n")[0]).parse_args()


def main() -> None:
    """Search in two ways."""
    parse_args()
    # Without routing, scikit-learn would leave `groups` out of the inner fits.
    sklearn.set_config(enable_metadata_routing=True)
    lesions = make_lesions(140, size=32, weights="balanced", random_state=0)
    options = {"weights": None, "image_size": 32, "epochs": 4}
    members = [
        ("net", TransferClassifier("vgg16", **options)),
        ("linear", TransferClassifier("vgg16", units=(), **options)),
    ]
    # A triage that is a rule lets the members of the diagnosis vote there too.
    cascade = Cascade("soft", Stage(members, cv=2), random_state=0).set_fit_request(groups=True)
    shared = {
        "cv": StratifiedGroupKFold(2),
        "scoring": "balanced_accuracy",
        "error_score": "raise",
    }

    grid = GridSearchCV(cascade, {"diagnosis__net__units": [(), (16,)]}, **shared)
    grid.fit(lesions.images, lesions.target, groups=lesions.groups)
    print(f"GridSearchCV: {grid.best_params_}, balanced accuracy {grid.best_score_:.3f}")

    # More epochs for the better half. With its usual resource, n_samples, scikit-learn draws images
    # at random, and the rare types are soon without a lesion.
    halving = HalvingGridSearchCV(
        cascade,
        GRID,
        resource="diagnosis__net__epochs",
        min_resources=2,
        max_resources=8,
        factor=2,
        random_state=0,
        **shared,
    )
    halving.fit(lesions.images, lesions.target, groups=lesions.groups)
    for rung in range(halving.n_iterations_):
        tried = halving.cv_results_["iter"] == rung
        print(f"rung {rung}: {tried.sum()} candidates, {halving.n_resources_[rung]} epochs")
    print(f"HalvingGridSearchCV: {halving.best_params_}, {halving.best_score_:.3f}")
    print(halving.best_estimator_.verdicts(lesions.images[:1])[0])


if __name__ == "__main__":
    main()
