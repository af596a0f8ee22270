"""Keras' own engine, on whatever backend it has."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tiny_backbone import TINY

from skinensemble.backbones import get_backbone
from skinensemble.engines import make_runner
from skinensemble.engines._keras import run_batch

FLOAT32 = {"engine": "keras", "precision": "float32"}


def test_several_threads_may_call_at_once():
    images = np.random.default_rng(0).integers(0, 256, (24, 4, 32, 32, 3), dtype=np.uint8)
    model = get_backbone(TINY["backbone"]).build(None)
    runners = [make_runner(model, "tiny", **FLOAT32) for _ in range(2)]
    expected = [runners[0](batch) for batch in images]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: runners[at % 2](images[at]), range(24)))
    np.testing.assert_array_equal(found, expected)


def test_it_returns_numpy_arrays_and_leaves_the_model_as_it_was():
    model = get_backbone(TINY["backbone"]).build(None)
    before = model.get_weights()
    rows = run_batch(model, np.full((2, 32, 32, 3), 9, np.uint8))
    assert type(rows) is np.ndarray
    assert rows.shape == (2, 16)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
