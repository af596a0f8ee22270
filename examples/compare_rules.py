"""Every voting rule on HAM10000, judged on outer folds whose lesions no rule and no member saw.

    python examples/compare_rules.py --data PATH --store features

In each outer fold a cascade is trained on the other lesions, every rule learns from its out-of-fold
ballots, and both vote on the lesions left out. The votes of all outer folds are then judged
together: a table of the rules, what became of the certified sensitivity, and how much can be
decided at 95 % accuracy. No rule, threshold or calibration is chosen on the outer folds.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from skinensemble import CalibratedVote, Referral, ThresholdVote, list_voting_rules, make_cascade
from skinensemble.datasets import load_ham10000
from skinensemble.metrics import (
    Figure,
    auc,
    confusion_figures,
    coverage_at_accuracy,
    expected_calibration_error,
    lesion_weights,
    macro_auc,
)
from skinensemble.referral import lesion_decisions
from skinensemble.tables import text_table
from skinensemble.thresholds import exact_interval, lesion_scores
from skinensemble.voting import resolve_voting_rule

BACKBONES = ("efficientnet_lite0", "efficientnet_lite2", "mobilenet_v2")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", required=True, help="folder of HAM10000")
    parser.add_argument("--backbones", nargs="+", default=BACKBONES, metavar="NAME")
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME=PATH")
    parser.add_argument("--store", help="folder that keeps the features between runs")
    parser.add_argument("--limit", type=int, help="use so many images only, for a quick look")
    parser.add_argument("--outer", type=int, default=5, help="outer folds")
    parser.add_argument("--folds", type=int, default=5, help="inner folds, of the ballots")
    return parser.parse_args()


def main() -> None:
    """Train on each outer fold, judge all together."""
    args, start = parse_args(), time.monotonic()
    data = load_ham10000(args.data)
    images, y, groups = map(np.asarray, (data.images, data.target, data.groups))
    if args.limit:
        keep = np.random.default_rng(0).permutation(len(images))[: args.limit]
        images, y, groups = images[keep], y[keep], groups[keep]
    outer = StratifiedGroupKFold(args.outer, shuffle=True, random_state=0)
    banks = {"triage": Bank(len(y), 2), "diagnosis": Bank(len(y), len(np.unique(y)))}
    for fold, (train, test) in enumerate(outer.split(images, y, groups)):
        cascade = make_cascade(
            *args.backbones,
            weights=dict(pair.split("=", 1) for pair in args.weights),
            store=args.store,
            cv=args.folds,
            random_state=0,
        ).fit(images[train], y[train], groups=groups[train])
        unseen = cascade.prepare(images[test])
        for name, bank in banks.items():
            bank.vote(getattr(cascade, f"{name}_"), unseen, test)
        print(
            f"outer fold {fold + 1} of {args.outer}: {time.monotonic() - start:.0f} s", flush=True
        )
    truth = {
        "triage": np.isin(y, cascade.malignant_).astype(int),
        "diagnosis": np.searchsorted(cascade.classes_, y),
    }
    weights = lesion_weights(groups, 1000, 0)
    for name, bank in banks.items():
        print(f"\n{name.capitalize()}\n\n{bank.table(truth[name], weights)}\n")
        print(bank.selective(truth[name], groups, weights))
    print(f"\n{banks['triage'].promise(truth['triage'] == 1, groups)}")
    print(f"\n{time.monotonic() - start:.0f} s in all")


class Bank:
    """Decisions and probabilities of every rule for images of all outer folds."""

    def __init__(self, n_images: int, n_classes: int):
        self.shape = n_images, n_classes
        self.decided: dict[str, np.ndarray] = {}
        self.proba: dict[str, np.ndarray] = {}
        self.kept = np.zeros(n_images, dtype=bool)

    def vote(self, stage, images, rows) -> None:
        """Let each member and each rule vote on images that the stage has not seen."""
        ballots = stage.ballots(images)
        for at, (name, _) in enumerate(stage.members):
            self._keep(f"member: {name}", resolve_voting_rule("soft"), ballots[:, [at]], rows)
        for name, rule in _rules(self.shape[1]).items():
            rule.fit(stage.ballots_, stage.targets_, groups=stage.lesions_)
            self._keep(f"rule: {name}", rule, ballots, rows)
        soft = resolve_voting_rule("soft")
        referral = Referral(0.95).fit(
            *_sure(soft.decide(stage.ballots_), soft.combine(stage.ballots_), stage.targets_),
            stage.lesions_,
        )
        self.kept[rows] = referral.accepts(soft.combine(ballots).max(axis=1))

    def _keep(self, name, rule, ballots, rows) -> None:
        decided = self.decided.setdefault(name, np.empty(self.shape[0], dtype=int))
        decided[rows] = rule.decide(ballots)
        self.proba.setdefault(name, np.empty(self.shape))[rows] = rule.combine(ballots)

    def table(self, y, weights) -> str:
        """Figures of each member and rule, with intervals."""
        rows = [_row(name, y, self.decided[name], self.proba[name], weights) for name in self.proba]
        return text_table(list(rows[0]), [list(row.values()) for row in rows])

    def selective(self, y, groups, weights) -> str:
        """How many lesions soft vote decides at 95 % accuracy, at best and as it was promised."""
        sure, right = _sure(self.decided["rule: soft"], self.proba["rule: soft"], y)
        kept = lesion_decisions(self.kept, self.kept, groups)[1]
        sure, right = lesion_decisions(sure, right, groups)
        weights = weights[:, np.unique(groups, return_index=True)[1]]
        best = Figure.from_resamples(coverage_at_accuracy(right, sure, 0.95, weights))
        text = (
            f"Soft vote by lesion: coverage at 95 % accuracy {best}; where referral promised 95 %:"
        )
        if not kept.any():
            return f"{text} nothing is decided"
        decided = Figure.from_resamples(weights @ kept / weights.sum(axis=1))
        accuracy = Figure.from_resamples(weights @ (kept & right) / (weights @ kept))
        return f"{text} decided {decided}, right of these {accuracy}"

    def promise(self, malignant, groups) -> str:
        """What became of the certified sensitivity, lesion by lesion."""
        found = self.decided["rule: threshold"].astype(float)
        found, truth = lesion_scores(found, malignant, groups)
        hits, n = int(found[truth].sum()), int(truth.sum())
        low, high = exact_interval(hits, n)
        spec = exact_interval(int(np.sum(found[~truth] == 0)), int(np.sum(~truth)))
        return (
            f"Certified 95 % sensitivity on unseen lesions (worst image counts): {n - hits} of {n}"
            f" malignant lesions missed, sensitivity {hits / n:.3f} ({low:.3f}–{high:.3f});"
            f" specificity {1 - found[~truth].mean():.3f} ({spec[0]:.3f}–{spec[1]:.3f})"
        )


def _rules(n_classes: int) -> dict:
    """Every registered rule that fits; threshold rules by several criteria; calibrated ones."""
    found = {name: resolve_voting_rule(name) for name in list_voting_rules()}
    found = {name: rule for name, rule in found.items() if n_classes == 2 or not rule.binary}
    found["soft, temperature"] = found.pop("calibrated")
    if n_classes == 2:
        found |= {f"soft, {name}": CalibratedVote("soft", name) for name in ("isotonic", "platt")}
        found |= {f"threshold, {name}": ThresholdVote(criterion=name) for name in ("youden", "f2")}
    return found


def _sure(decided, proba, y):
    return proba[np.arange(len(y)), decided], decided == y


def _row(name, y, decided, proba, weights) -> dict:
    figures = confusion_figures(y, decided, proba.shape[1], weights)
    binary = proba.shape[1] == 2
    values = {
        "accuracy": figures["accuracy"],
        "balanced accuracy": figures["balanced_accuracy"],
        "AUC": auc(y == 1, proba[:, 1], weights) if binary else macro_auc(y, proba, weights),
        "ECE": expected_calibration_error(y, proba, weights),
    }
    if binary:
        values |= {"sensitivity": figures["recall"][:, 1], "specificity": figures["recall"][:, 0]}
    row = {"": name} | {key: Figure.from_resamples(value) for key, value in values.items()}
    if binary:
        row["misses"] = int(np.sum((y == 1) & (decided == 0)))
        row["false alarms"] = int(np.sum((y == 0) & (decided == 1)))
    return row


if __name__ == "__main__":
    main()
