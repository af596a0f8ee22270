from __future__ import annotations

import numpy as np
import pytest

from skinensemble.members._optimizers import discriminative_adamw_class


def trained(optimizer):
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(4, "relu")])
    model.add(keras.layers.Dense(2))
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(optimizer, "mse")
    start = [np.array(values) for values in model.get_weights()]
    X = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)
    model.fit(X, X[:, :2], epochs=3, batch_size=20, shuffle=False, verbose=0)
    return start, model.get_weights()


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.5}, {"use_ema": True}], ids=str)
def test_with_one_rate_for_all_it_is_adamw(options):
    import keras

    own = discriminative_adamw_class()([1.0] * 4, learning_rate=0.01, **options)
    _, ours = trained(own)
    _, theirs = trained(keras.optimizers.AdamW(0.01, **options))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_each_weight_learns_at_its_own_rate():
    options = {"learning_rate": 0.01, "weight_decay": 0.0}
    start, end = trained(discriminative_adamw_class()([0, 1e-3, 1, 1], **options))
    moved = [np.abs(b - a).max() for a, b in zip(start, end, strict=True)]
    assert moved[0] == 0 < moved[1] < 1e-2 * min(moved[2:])
