"""Which backbone, cut, head and loss? A search, and the committee that comes out of it.

    python examples/search.py                                   # drawn lesions, random networks
    python examples/search.py --data PATH --backbones efficientnet_lite0 efficientnet_lite2 \\
        --store features --folder trials --time-budget 3600

On HAM10000 a fifth of the lesions is kept aside (fold 0 of ``StratifiedGroupKFold(5, shuffle=True,
random_state=0)`` over the rows of the metadata), and the committee is judged on it beside each of
its members. Killed at any moment, or out of time, the same command goes on with the trials in
``--folder``. Without ``--data`` everything is small: it shows the steps and says nothing of skin.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from skinensemble import cascade_around, evaluate, make_candidates, search
from skinensemble.datasets import load_ham10000, make_lesions
from skinensemble.plots import plot_leaderboard

# Each list holds alternatives, and every combination is a candidate.
GRID = {
    "unfreeze": [None, 0.2],
    "units": [(), (128,), (128, 64)],
    "class_weight": [0.5, 0.75, "balanced"],
    "loss": ["cross_entropy", "focal"],
}
SMALL = {"unfreeze": [None, 1], "units": [(), (8,)], "views": 1, "epochs": 4, "image_size": 32}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", help="folder of HAM10000; without it lesions are drawn")
    parser.add_argument("--backbones", nargs="+", default=["mobilenet_v2_035"], metavar="NAME")
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME=PATH")
    parser.add_argument("--frozen", action="store_true", help="heads only, which take seconds")
    parser.add_argument("--store", help="folder that keeps features between runs")
    parser.add_argument("--folder", help="folder that keeps the trials")
    parser.add_argument("--time-budget", type=float, help="seconds for the search")
    parser.add_argument("--finalists", type=int, default=6)
    parser.add_argument("--limit", type=int, help="use so many images only, for a quick look")
    parser.add_argument("--output", default="search-cascade.h5")
    return parser.parse_args()


def read(args):
    """Return images, diagnoses and lesions, the grid, and where weights come from."""
    if args.data is None:
        drawn = make_lesions(105, size=32, weights="balanced", random_state=0)
        return drawn.images, drawn.target, drawn.groups, SMALL, None
    lesions = load_ham10000(args.data)
    images, y, groups = map(np.asarray, (lesions.images, lesions.target, lesions.groups))
    if args.limit:
        keep = np.random.default_rng(0).permutation(len(y))[: args.limit]
        images, y, groups = images[keep], y[keep], groups[keep]
    grid = GRID | ({"unfreeze": None} if args.frozen else {}) | {"store": args.store}
    return images, y, groups, grid, dict(pair.split("=", 1) for pair in args.weights)


def main() -> None:
    """Search, show, judge."""
    args = parse_args()
    images, y, groups, grid, weights = read(args)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    train, test = next(folds.split(images, y, groups))
    found = search(
        make_candidates(*args.backbones, weights=weights, **grid),
        images[train],
        y[train],
        groups=groups[train],
        n_finalists=args.finalists,
        cv=3,
        time_budget=args.time_budget,
        folder=args.folder,
        verbose=1,
    )
    print(f"\n{found}\n")
    found.to_csv("leaderboard.csv")
    plot_leaderboard(found).figure.savefig("leaderboard.png")
    if len(found.finalists) > 1:
        print(f"{found.compare()}\n")

    # Trained once more on everything; its members vote in the triage as well.
    cascade = cascade_around(found.committee(), "greedy")
    cascade.save(args.output)
    print(evaluate(cascade, images[test], y[test], groups=groups[test]))


if __name__ == "__main__":
    main()
