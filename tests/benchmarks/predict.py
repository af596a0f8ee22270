"""Prediction of a folder of images with three frozen backbones and two stages.

The peer is six ``keras.Model.predict`` calls, one for each member of each stage, on images decoded
in advance. Beside it stands what a user of scikit-learn would write: two ``VotingClassifier`` over
features of the same networks, from the same files. The limit is the pure engine: each backbone
once, on decoded images, nothing else. All ways alternate, and ratios are taken within a round, so
that a busy machine slows both sides.
"""

from __future__ import annotations

import statistics
import time
from functools import partial

import numpy as np

from skinensemble import config_context, make_cascade
from skinensemble.datasets import load_ham10000
from skinensemble.engines import make_runner
from skinensemble.images import as_images
from skinensemble.images._decoded import last_decoded
from skinensemble.taxonomy import MALIGNANT
from tests.benchmarks.sklearn_peer import fit_peer, predict_peer

BACKBONES = ("efficientnet_lite0", "efficientnet_lite2", "mobilenet_v2")
ROUNDS = 5
ENGINES = (("keras", "float32"), ("openvino", "float32"), ("openvino", "bfloat16"))


def run(args):
    """Images per second of each way, and its ratio to the peer and to the pure engine."""
    cascade, votes, paths = trained(args)
    decoded = {m.body_._extractor().size: None for m in members(cascade)}
    for size in decoded:
        decoded[size] = np.concatenate(list(as_images(paths).batches(size)))
    ways = {"six model.predict calls (peer)": partial(_six, cascade, decoded)}
    ways["two scikit-learn VotingClassifiers"] = partial(predict_peer, votes, paths)
    for engine, precision in possible_engines():
        config = {"engine": engine, "precision": precision}
        ways[f"ours, {engine} {precision}"] = partial(_ours, cascade, paths, config)
        if engine != "keras":
            ways[f"pure {engine} {precision} (limit)"] = _pure(cascade, decoded, config)
    rates = {name: [] for name in ways}
    for round_ in range(ROUNDS + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if round_:  # the first compiles
                rates[name].append(len(paths) / (time.perf_counter() - start))
    return rate_table(rates)


def trained(args, peer=True):
    """Return a cascade of frozen members, scikit-learn's of the same, and images to predict."""
    data = load_ham10000(args.data)
    images, y, groups = map(np.asarray, (data.images, data.target, data.groups))
    rng = np.random.default_rng(0)
    few = [rng.permutation(np.unique(groups[y == label]))[:10] for label in np.unique(y)]
    train = np.isin(groups, np.concatenate(few))
    weights = {"mobilenet_v2": str(args.weights / "mobilenet_v2_1.0_224_notop.weights.h5")}
    cascade = make_cascade(*BACKBONES, weights=weights, cv=2, epochs=2, random_state=0)
    cascade.fit(images[train], y[train], groups=groups[train])
    known = {name: weights.get(name, "imagenet") for name in BACKBONES}
    votes = fit_peer(known, images[train].tolist(), y[train], MALIGNANT) if peer else None
    others = rng.permutation(np.flatnonzero(~train))
    return cascade, votes, images[others[: args.images]].tolist()


def possible_engines():
    """Yield the engines and precisions that this machine has."""
    for engine, precision in ENGINES:
        try:
            with config_context(engine=engine, precision=precision):
                pass
        except (ImportError, ValueError) as error:
            print(f"left out: {engine} {precision}: {error}")
        else:
            yield engine, precision


def members(cascade):
    """Return the members of both stages."""
    return [m for stage in (cascade.triage_, cascade.diagnosis_) for m in stage.members_]


def _six(cascade, decoded):
    for member in members(cascade):
        size = member.body_._extractor().size
        _whole(member).predict(decoded[size], batch_size=32, verbose=0)


_wholes: dict = {}


def _whole(member):
    # Made once: a new model would trace a new graph.
    return _wholes.setdefault(id(member), member.model_)


def _ours(cascade, paths, config):
    for member in members(cascade):
        member.body_.store = None
    last_decoded.clear()  # each round decodes for itself
    with config_context(**config):
        for _ in cascade.predict_stream(paths):
            pass


def _pure(cascade, decoded, config):
    extractors = {m.body_._extractor().fingerprint: m.body_._extractor() for m in members(cascade)}
    runners = [(make_runner(e.model, e.name, **config), e.size) for e in extractors.values()]

    def way():
        for runner, size in runners:
            runner(decoded[size])

    return way


def rate_table(rates):
    peer = next(iter(rates.values()))
    rows = []
    for name, own in rates.items():
        limit = rates.get(f"{name.replace('ours,', 'pure')} (limit)")
        rows.append(
            [
                name,
                f"{statistics.median(own):.1f}",
                f"{min(own):.1f}–{max(own):.1f}",
                _ratio(own, peer),
                "" if limit is None else _ratio(own, limit),
            ]
        )
    return ["way", "images/s", "spread", "× peer", "× limit"], rows


def _ratio(own, other) -> str:
    """Median of the ratios within a round, and their spread."""
    ratios = [a / b for a, b in zip(own, other, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
