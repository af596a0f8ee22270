from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skinensemble import DenseHead, TransferClassifier
from skinensemble.exceptions import InputError, MemberError, MemberWarning
from skinensemble.members import _stack
from skinensemble.members._samples import class_weights, validation_split

QUICK = {
    "units": (8,),
    "epochs": 10,
    "learning_rate": 0.03,
    "batch_size": 128,
    "random_state": 0,
}
# Two thirds of the time of such a training are those of its validation.
PATIENT = QUICK | {"patience": 4}


OVERFITTING = {"dropout": 0.0, "learning_rate": 0.1, "class_weight": None, "l2": 0}


def blobs(n: int = 270, n_classes: int = 3, seed: int = 0):
    """Overlapping classes in six features of very unlike scales."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes)
    X = 2 * np.eye(6)[y] + rng.standard_normal((n, 6))
    return X * [1, 100, 0.01, 1, 1, 1] + [0, 1e4, 0, -3, 0, 0], np.array(["bkl", "mel", "nv"])[y]


def plain(X, head):
    """What the Keras model says when it is called by itself."""
    import keras

    return keras.ops.convert_to_numpy(head.model_(np.asarray(X, np.float32)))


@pytest.fixture(scope="module")
def data():
    return blobs()


@pytest.fixture(scope="module")
def more():
    """As many as `data` without the validation part: batches are as large, and the network one."""
    return blobs(300)


@pytest.fixture(scope="module")
def head(more):
    return DenseHead(**PATIENT).fit(*more)


@pytest.mark.parametrize("scaling", ["feature", "common"])
def test_without_hidden_layers_it_is_a_logistic_regression(data, scaling):
    X, y = data
    n, l2 = len(y), 0.01
    options = {"dropout": 0.0, "class_weight": None, "batch_size": n, "learning_rate": 0.1}
    head = DenseHead((), l2=l2, epochs=200, random_state=0, scaling=scaling, **options).fit(X, y)
    variance = X.var(axis=0)
    scale = np.sqrt(variance if scaling == "feature" else variance.mean())
    # The mean of the losses and l2 |w|² here, C times their sum and |w|² / 2 there.
    reference = LogisticRegression(C=1 / (2 * l2 * n), tol=1e-8)
    standard = (X - X.mean(axis=0)) / scale
    proba = reference.fit(standard, y).predict_proba(standard)
    np.testing.assert_allclose(head.predict_proba(X), proba, atol=1e-3)


def test_it_learns(data, head):
    fresh = blobs(seed=1)
    assert head.score(*fresh) > 0.7
    assert head.classes_.tolist() == ["bkl", "mel", "nv"]
    proba = head.predict_proba(fresh[0])
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(head.predict(fresh[0]), head.classes_[proba.argmax(axis=1)])


def test_the_model_is_a_plain_keras_model_that_takes_features_as_they_are(data, head):
    import keras

    assert isinstance(head.model_, keras.Model)
    np.testing.assert_allclose(plain(data[0], head), head.predict_proba(data[0]), rtol=1e-5)
    kinds = {type(layer).__name__ for layer in head.model_.layers}
    assert kinds <= {"Dense", "Dropout", "Activation"}


@pytest.mark.parametrize("batch_normalization", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_scale_of_the_features_does_not_matter(data, batch_normalization):
    X, y = data
    options = QUICK | {"batch_normalization": batch_normalization}
    one = DenseHead(**options).fit(X, y).predict_proba(X)
    other = DenseHead(**options).fit(X * 8 - 64, y).predict_proba(X * 8 - 64)
    np.testing.assert_allclose(one, other, atol=0.02)


@pytest.mark.parametrize("scaling", ["feature", "common"])
def test_a_feature_that_never_varies_does_no_harm(data, scaling):
    X, y = data
    X = X / X.std(axis=0)
    X[:, 5] = 7  # it says nothing of y
    assert DenseHead(scaling=scaling, **QUICK).fit(X, y).score(X, y) > 0.7


def test_under_a_common_scale_what_hardly_varied_does_not_decide_on_its_own(data):
    X, y = data
    X = X / X.std(axis=0)
    X[:, 5] = 1e-4 * np.random.default_rng(0).standard_normal(len(X))
    awake = X + np.eye(6)[5]
    change = {}
    for scaling in ("feature", "common"):
        head = DenseHead(scaling=scaling, **QUICK).fit(X, y)
        change[scaling] = np.abs(head.predict_proba(awake) - head.predict_proba(X)).max()
    assert change["common"] < 0.2 < change["feature"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"units": ()}, marks=pytest.mark.slow),
        {"units": (8, 4), "batch_normalization": True},
        pytest.param({"activation": "gelu"}, marks=pytest.mark.slow),
    ],
)
def test_the_same_seed_gives_the_same_weights(data, options):
    one, two, other = (
        DenseHead(**QUICK | {"epochs": 3} | options | {"random_state": seed}).fit(*data)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.predict_proba(data[0]), two.predict_proba(data[0]))
    assert one.history_ == two.history_
    assert (one.predict_proba(data[0]) != other.predict_proba(data[0])).any()


def test_what_was_trained_before_does_not_matter(more, head):
    """Heads of one shape are trained in one compiled network: nothing may be left in it."""
    other = blobs(300, seed=4)
    DenseHead(**PATIENT | {"random_state": 5, "epochs": 2}).fit(*other)
    again = clone(head).fit(*more)
    np.testing.assert_array_equal(again.predict_proba(more[0]), head.predict_proba(more[0]))
    assert again.history_ == head.history_


def test_neither_do_batches_of_another_width():
    X, y = blobs(300)
    options = QUICK | {"units": (5,), "epochs": 2}
    alone = DenseHead(**options).fit(X[:270], y[:270])
    _stack._cache().clear()
    DenseHead(**options).fit(X, y)
    again = DenseHead(**options).fit(X[:270], y[:270])
    np.testing.assert_array_equal(again.predict_proba(X), alone.predict_proba(X))
    assert again.history_ == alone.history_


def test_fits_do_not_share_their_weights(data, head):
    before = head.predict_proba(data[0])
    DenseHead(**QUICK | {"random_state": 9}).fit(*data)
    np.testing.assert_array_equal(head.predict_proba(data[0]), before)


def test_a_thread_gives_the_same(more, head):
    found = []
    thread = threading.Thread(target=lambda: found.append(clone(head).fit(*more)))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(found[0].predict_proba(more[0]), head.predict_proba(more[0]))


def test_the_global_random_state_is_left_alone(data):
    def numbers():
        return np.random.random(3).tolist()  # noqa: NPY002 - the global one is what is tested

    state = np.random.get_state()  # noqa: NPY002
    expected = numbers()
    np.random.set_state(state)  # noqa: NPY002
    DenseHead(**QUICK | {"epochs": 1}).fit(*data)
    assert numbers() == expected


def test_class_weight_lifts_the_rare_class():
    n = 270
    # Of a third class, far away, are some: so the network is that of the other tests.
    y = np.where(np.arange(n) < n // 10, 1, np.arange(n) % 9 // 8 * 2)
    X = np.random.default_rng(0).standard_normal((n, 6))
    X[:, :3] += np.where(y == 1, 0.9, 0)[:, None]
    X[:, 3] += np.where(y == 2, 5, 0)
    plain, balanced, strong = (
        np.mean(DenseHead(**QUICK | {"class_weight": weight}).fit(X, y).predict(X)[y == 1] == 1)
        for weight in (None, "balanced", {0: 1, 1: 30, 2: 1})
    )
    assert plain < 0.5 < balanced < strong


def test_class_weights_are_those_of_scikit_learn_or_a_power_of_them():
    y = np.array([0, 0, 0, 0, 1])
    np.testing.assert_allclose(class_weights("balanced", y), [0.625] * 4 + [2.5])
    for power in (0, 0.5, 1):
        expected = np.power([0.625] * 4 + [2.5], power)
        np.testing.assert_allclose(class_weights(power, y), expected, rtol=1e-6)
    np.testing.assert_allclose(class_weights({1: 3}, y), [1, 1, 1, 1, 3])
    np.testing.assert_allclose(class_weights(None, y), np.ones(5))


def test_samples_without_weight_teach_nothing(data):
    X, y = data
    wrong = np.arange(len(y)) % 2 == 1
    y = np.where(wrong, "bkl", y)
    options = QUICK | {"class_weight": None}
    weighted = DenseHead(**options).fit(X, y, sample_weight=1.0 - wrong)
    fooled = DenseHead(**options).fit(X, y)
    right = data[1][~wrong]
    assert np.mean(weighted.predict(X[~wrong]) == right) > 0.7
    assert np.mean(fooled.predict(X[~wrong]) == right) < 0.6


def test_weights_that_are_all_zero_are_refused(data):
    X, y = data
    nothing = np.zeros(len(y))
    text = r"^sample_weight: all zero – nothing could be learnt – give some samples a non-zero"
    with pytest.raises(InputError, match=text):
        DenseHead(**QUICK).fit(X, y, sample_weight=nothing)
    half = np.arange(len(y)) < len(y) // 2
    parts = [np.flatnonzero(half), np.flatnonzero(~half)]
    with pytest.raises(InputError, match=text):
        DenseHead(**QUICK).fit_each(X, y, parts, sample_weight=half.astype(float))
    with pytest.raises(InputError, match=text):
        DenseHead(**QUICK | {"class_weight": dict.fromkeys(np.unique(y), 0)}).fit(X, y)


def test_it_stops_when_the_validation_loss_stops_falling(more):
    # Labels that mean nothing: the validation part can only get worse.
    X, y = more[0], np.random.default_rng(3).permutation(more[1])
    options = QUICK | OVERFITTING | {"epochs": 30}
    stopped = DenseHead(**options | {"patience": 3}).fit(X, y)
    losses = stopped.history_["val_loss"]
    assert len(losses) < 30
    assert np.argmin(losses) == len(losses) - 4
    whole = DenseHead(**options).fit(X, y)
    assert len(whole.history_["loss"]) == 30
    assert "val_loss" not in whole.history_


def test_the_best_weights_are_kept(more):
    X, y = more[0], np.random.default_rng(3).permutation(more[1])
    options = QUICK | OVERFITTING
    head = DenseHead(**options | {"epochs": 15, "patience": 15}).fit(X, y)
    best = int(np.argmin(head.history_["val_loss"])) + 1
    assert best < 15
    short = DenseHead(**options | {"epochs": best, "patience": 15}).fit(X, y)
    np.testing.assert_array_equal(head.predict_proba(X), short.predict_proba(X))


@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.2, 0.5]))
def test_the_validation_part_shares_no_lesion_and_has_every_class(seed, fraction):
    rng = np.random.default_rng(seed)
    kind = np.repeat([0, 1, 2], rng.integers(10, 30, 3))
    lesion = rng.permutation(np.repeat(np.arange(len(kind)), rng.integers(1, 4, len(kind))))
    head = DenseHead(patience=1, validation_fraction=fraction)
    train, held_out = validation_split(head, kind[lesion], lesion, seed)
    assert not set(lesion[train]) & set(lesion[held_out])
    assert sorted([*train, *held_out]) == list(range(len(lesion)))
    assert set(kind[lesion[held_out]]) == set(kind[lesion[train]]) == {0, 1, 2}


def test_nothing_is_set_aside_without_patience():
    train, held_out = validation_split(DenseHead(), np.repeat([0, 1], 50), None, 0)
    assert (len(train), len(held_out)) == (100, 0)


@pytest.mark.parametrize(("rarest", "fraction"), [(5, 0.1), (1, 0.5)])
def test_where_a_class_is_too_rare_early_stopping_is_left_out_and_that_is_said(rarest, fraction):
    head = DenseHead(patience=3, validation_fraction=fraction)
    why = rf"left out – the rarest class has {rarest} lesions, and {fraction} of them is none – it"
    with pytest.warns(MemberWarning, match=why):
        train, held_out = validation_split(head, np.repeat([0, 1], (50, rarest)), None, 0)
    assert (len(train), len(held_out)) == (50 + rarest, 0)


def test_groups_reach_the_validation_part(data):
    X, y = np.repeat(data[0][:150], 2, axis=0), np.repeat(data[1][:150], 2)
    grouped, apart = (
        DenseHead(**PATIENT | {"epochs": 2}).fit(X, y, groups=groups)
        for groups in (np.repeat(np.arange(150), 2), None)
    )
    assert (grouped.predict_proba(X) != apart.predict_proba(X)).any()


def test_verbose_is_that_of_keras(data, capsys):
    DenseHead(**QUICK | {"epochs": 2}).fit(*data)
    assert capsys.readouterr().out == ""
    DenseHead(**QUICK | {"epochs": 2}, verbose=2).fit(*data)
    assert "Epoch 1/2" in capsys.readouterr().out


def test_history_is_plain(head):
    assert {"loss", "accuracy", "val_loss"} <= set(head.history_)
    assert all(type(value) is float for values in head.history_.values() for value in values)


def test_all_bad_parameters_are_listed_at_once(data):
    head = DenseHead(
        (8, -1),
        dropout=1,
        epochs=0,
        learning_rate="fast",
        validation_fraction=0.9,
    )
    with pytest.raises(InputError, match="DenseHead's docstring") as caught:
        head.fit(*data)
    for text in (
        "units=(8, -1)",
        "dropout=1 ",
        "epochs=0",
        "learning_rate='fast'",
        "fraction=0.9",
    ):
        assert text in str(caught.value)
    assert "patience" not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        {"units": 8},
        {"batch_size": 0},
        {"patience": -1},
        {"l2": -1},
        {"scaling": "none"},
        {"class_weight": -1},
        {"class_weight": "balance"},
        {"callbacks": "x"},
        {"callbacks": [3]},
        {"random_state": "a"},
        {"verbose": "yes"},
        {"verbose": 3},
    ],
    ids=str,
)
def test_each_bad_parameter_is_refused(data, bad):
    with pytest.raises(InputError, match=rf"^parameters: {next(iter(bad))}="):
        DenseHead(**bad).fit(*data)


def test_a_loss_that_is_not_finite_is_a_members_failure(data):
    with pytest.raises(MemberError, match=r"training: DenseHead – .* not finite .* – lower learni"):
        DenseHead(**QUICK | {"learning_rate": 1e38}).fit(*data)


@pytest.mark.parametrize("number", [np.int64(1), np.float32(0.5)])
def test_a_power_of_the_class_weights_may_be_a_number_of_numpy(data, number):
    own, plain = (DenseHead(**QUICK | {"class_weight": n}) for n in (number, number.item()))
    proba = own.fit(*data).predict_proba(data[0])
    np.testing.assert_array_equal(proba, plain.fit(*data).predict_proba(data[0]))


def test_before_fit_it_says_so(data):
    for method in ("predict", "predict_proba"):
        with pytest.raises(ValueError, match="not fitted yet"):
            getattr(DenseHead(), method)(data[0])


@pytest.mark.parametrize("groups", [range(60), range(200)])
def test_lesions_have_to_be_as_many_as_samples(data, groups):
    X, y = data[0][:100], data[1][:100]
    head = DenseHead(**QUICK)
    with pytest.raises(InputError, match=rf"lengths: groups \({len(groups)}\) – X has 100 samples"):
        head.fit(X, y, groups=groups)
    with pytest.raises(InputError, match=rf"lengths: groups \({len(groups)}\) – X has 100 samples"):
        head.fit_each(X, y, [np.arange(50), np.arange(100)], groups=groups)


@pytest.fixture(scope="module")
def without_dropout(data):
    return DenseHead(**QUICK | {"dropout": 0.0}).fit(*data)


@pytest.mark.parametrize("unit", [1e-20, 1e-9, 1e9])
def test_each_feature_may_have_a_unit_of_its_own(data, without_dropout, unit):
    X, y = data
    other = X * [unit, 1, 1, 1, 1, unit]
    proba = clone(without_dropout).fit(other, y).predict_proba(other)
    np.testing.assert_allclose(proba, without_dropout.predict_proba(X), atol=0.02)


@pytest.mark.parametrize("kind", [DenseHead, TransferClassifier])
def test_an_unknown_activation_is_refused_and_the_known_ones_named(kind):
    text = "activation: 'reluu' – not one of .*'relu', .*'tanh'.* – pass one of these"
    with pytest.raises(InputError, match=text):
        kind(activation="reluu").fit(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(InputError, match=r"activation: 3 – not one of"):
        kind(activation=3).fit(np.eye(4), [0, 1, 0, 1])


def test_a_class_weight_of_a_label_that_does_not_occur_is_refused():
    text = "class_weight: mell, 3 – no such label; there are mel, nv – correct the labels"
    with pytest.raises(InputError, match=text):
        DenseHead(class_weight={"mell": 2.0, 3: 1.0}).fit(np.eye(4), ["mel", "nv"] * 2)
    # Weights for all diagnoses that there are may be given where not all occur.
    everything = {"mel": 2.0, "nv": 1.0, "df": 3.0}
    DenseHead(class_weight=everything, epochs=1).fit(np.eye(4), ["mel", "nv"] * 2)


# --- callbacks: a network that they had a part in is not kept for the next, so they come last


def test_the_learning_rate_falls_on_a_cosine_and_callbacks_have_the_last_word(data):
    import keras

    rates = []

    class Noted(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate.numpy()))

    fixed = keras.callbacks.LearningRateScheduler(lambda epoch: 0.02)
    for own in ([Noted()], [fixed, Noted()]):
        DenseHead(**QUICK | {"epochs": 4, "learning_rate": 0.1}, callbacks=own).fit(*data)
    cosine = 0.05 * (1 + np.cos(np.pi * np.arange(4) / 4))
    np.testing.assert_allclose(rates, [*cosine, *[0.02] * 4], rtol=1e-5)


def test_callbacks_are_copied_for_each_fit(data):
    import keras

    seen: list = []

    class Counter(keras.callbacks.Callback):
        counted = 0

        def on_epoch_end(self, epoch, logs=None):
            self.counted += 1
            seen.append(self.counted)

    counter = Counter()
    head = DenseHead(**QUICK | {"epochs": 2}, callbacks=[counter])
    head.fit(*data).fit(*data)
    assert seen == [1, 2, 1, 2]
    assert counter.counted == 0
    assert not hasattr(counter, "_model") or counter._model is None
    assert head.callbacks == [counter]


def test_a_loss_that_early_stopping_hides_is_a_members_failure(more):
    import keras

    class Spoil(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                self.model.optimizer.learning_rate = 1e38

    head = DenseHead(**PATIENT | {"epochs": 9, "patience": 5, "callbacks": [Spoil()]})
    with pytest.raises(MemberError, match="the loss is not finite after"):
        head.fit(*more)


def test_a_head_that_failed_leaves_nothing_behind(more, head):
    import keras

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True
            self.model.optimizer.learning_rate = 7.0
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        DenseHead(**PATIENT | {"random_state": 5}, callbacks=[Interrupt()]).fit(*more)
    again = clone(head).fit(*more)
    assert again.history_ == head.history_
    np.testing.assert_array_equal(again.predict_proba(more[0]), head.predict_proba(more[0]))
