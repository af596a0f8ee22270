from __future__ import annotations

from collections import Counter
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from tiny_backbone import TINY

from skinensemble import (
    BackboneFeatures,
    Cascade,
    DenseHead,
    FeatureStore,
    Stage,
    TransferClassifier,
)
from skinensemble.exceptions import ImageReadError, InputError, WeightsError
from skinensemble.features import Extractor

HEAD = {"units": (4,), "epochs": 2, "batch_size": 128, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    """Images whose diagnosis is their colour, two of each lesion."""
    rng = np.random.default_rng(0)
    y = np.repeat(["bkl", "mel", "nv"], 16)
    shade = np.repeat([[200, 60, 60], [60, 200, 60], [60, 60, 200]], 16, axis=0)
    noise = rng.integers(-50, 50, (48, 32, 32, 3))
    return (shade[:, None, None] + noise).astype(np.uint8), y, np.arange(48) // 2


@pytest.fixture
def passes(monkeypatch):
    """How often each image went through each network, from now on."""
    counted: Counter = Counter()
    real = Extractor._predict

    def count(self, batch):
        counted.update((self.name, image.tobytes()) for image in batch if image.any())
        return real(self, batch)

    monkeypatch.setattr(Extractor, "_predict", count)
    return counted


def only(passes: Counter, X) -> dict:
    """Passes of these images; the network also sees batches that try its arithmetic out."""
    ours = {image.tobytes() for image in X}
    return {key: n for key, n in passes.items() if key[1] in ours}


def member(**options) -> TransferClassifier:
    return TransferClassifier(**TINY | HEAD | {"store": FeatureStore()} | options)


@pytest.fixture(scope="module")
def fitted(data):
    return member(units=(8,), epochs=20, learning_rate=0.02).fit(data[0], data[1])


def test_it_learns(data, fitted):
    assert fitted.score(data[0], data[1]) > 0.8
    assert fitted.classes_.tolist() == ["bkl", "mel", "nv"]
    assert set(fitted.history_) >= {"loss", "accuracy"}


def test_the_model_goes_from_image_to_probability(data, fitted):
    import keras

    model = fitted.model_
    assert isinstance(model, keras.Model)
    assert (model.input_shape, model.output_shape) == ((None, 32, 32, 3), (None, 3))
    direct = model.predict_on_batch(data[0].astype(np.float32))
    np.testing.assert_allclose(direct, fitted.predict_proba(data[0]), atol=1e-5)


def test_the_backbone_stays_as_it_was(data, fitted):
    before = [np.array(w) for w in fitted.body_.extractor_.model.get_weights()]
    member(random_state=4, epochs=5).fit(data[0], data[1])
    for old, new in zip(before, fitted.body_.extractor_.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not fitted.body_.extractor_.model.trainable_weights


def test_each_image_passes_the_backbone_once_over_both_stages_and_all_folds(data, passes):
    X, y, lesions = data
    store = FeatureStore()
    linear, twin = (
        make_pipeline(BackboneFeatures(name, weights=None, store=store), LogisticRegression())
        for name in ("tiny_transfer", "tiny_twin")
    )
    triage = Stage([("head", member(store=store)), ("linear", linear), ("twin", twin)], cv=3)
    cascade = Cascade(triage, malignant=["mel"], random_state=0).fit(X, y, groups=lesions)
    found = only(passes, X)
    assert set(found.values()) == {1}
    assert Counter(name for name, _ in found) == {"tiny_transfer": 48, "tiny_twin": 48}
    passes.clear()
    cascade.predict(X), cascade.predict_proba(X), cascade.verdicts(X)
    assert only(passes, X) == {}
    fresh = 255 - X[:20]
    cascade.verdicts(fresh)
    cascade.predict_proba(fresh)
    found = only(passes, fresh)
    assert (len(found), set(found.values())) == (40, {1})


def test_a_network_that_sees_another_size_is_another_network(data, passes):
    X, y, _ = data
    store = FeatureStore()
    member(store=store).fit(X, y)
    member(store=store, image_size=40).fit(X, y)
    assert set(only(passes, X).values()) == {1}
    assert sum(passes.values()) > 90


def test_every_form_of_images_gives_the_same(data, fitted, tmp_path):
    X = data[0][:4]
    files = []
    for i, pixels in enumerate(X):
        files.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(pixels).save(files[-1])
    expected = fitted.predict_proba(X)
    for given in (files, list(map(Image.fromarray, X)), X.astype(np.float32), list(X)):
        np.testing.assert_allclose(fitted.predict_proba(given), expected, atol=1e-6)


def test_parameters_are_those_of_body_and_head():
    odd = TransferClassifier("vgg16", pooling="max", image_fit="pad", units=(3,), l2=0.5, verbose=2)
    body, head = odd._body(), odd._head()
    assert (body.backbone, body.pooling, body.image_fit, body.verbose) == ("vgg16", "max", "pad", 2)
    assert (head.units, head.l2, head.verbose) == ((3,), 0.5, 1)
    assert clone(odd).get_params() == odd.get_params()


def test_bad_parameters_are_refused_before_the_images_are_read(passes, data):
    with pytest.raises(InputError, match=r"parameters: epochs=0 .* TransferClassifier's docstring"):
        member(epochs=0).fit(["no/such.jpg"], ["nv"])
    assert not passes


def test_images_that_cannot_be_read_are_all_named(data):
    files = ["no/such.jpg", "nor/this.png"]
    with pytest.raises(ImageReadError, match=r"no/such\.jpg.*nor/this\.png"):
        member().fit(files, ["nv", "mel"])


def test_features_of_a_network_share_one_scale(data):
    assert member().fit(*data[:2]).head_.scaling == "common"


def test_a_stage_reads_the_images_before_it_trains(data, tmp_path, monkeypatch):
    monkeypatch.setattr(DenseHead, "fit_each", Mock(side_effect=AssertionError("trained")))
    files = []
    for i, pixels in enumerate(data[0]):
        files.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(pixels).save(files[-1])
    (tmp_path / "7.png").write_bytes(b"")
    (tmp_path / "9.png").write_bytes((tmp_path / "9.png").read_bytes()[:300])
    with pytest.raises(ImageReadError, match=r"7\.png") as caught:
        Stage([("tiny", member())], cv=2).fit(files, data[1], groups=data[2])
    assert [problem.index for problem in caught.value.problems] == [7, 9]


def test_weights_that_cannot_be_had_are_an_error(data):
    with pytest.raises(WeightsError, match=r"nowhere\.weights\.h5"):
        member(weights="nowhere.weights.h5").fit(data[0], data[1])


def test_before_fit_it_says_so(data):
    for method in ("predict", "predict_proba"):
        with pytest.raises(ValueError, match="not fitted yet"):
            getattr(member(), method)(data[0])


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_set_params,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_valid_tag_types,
    ],
)
@pytest.mark.parametrize("estimator", [TransferClassifier(), BackboneFeatures()])
def test_common_checks_that_need_no_samples(check, estimator):
    check(type(estimator).__name__, clone(estimator))


@pytest.mark.parametrize("unfreeze", [None, 1])
def test_labels_and_lesions_are_as_many_as_images(unfreeze):
    images, member = np.zeros((6, 32, 32, 3), np.uint8), TransferClassifier(**TINY)
    member.set_params(unfreeze=unfreeze)
    with pytest.raises(InputError, match=r"lengths: y \(5\) – X has 6 samples"):
        member.fit(images, [0, 1, 0, 1, 0])
    with pytest.raises(InputError, match=r"lengths: groups \(5\) – X has 6 samples"):
        member.fit(images, [0, 1, 0, 1, 0, 1], groups=range(5))


@pytest.mark.parametrize("unfreeze", [None, 1])
def test_weights_that_are_all_zero_are_refused(unfreeze):
    images, member = np.zeros((6, 32, 32, 3), np.uint8), TransferClassifier(**TINY)
    y, weight = [0, 1, 0, 1, 0, 1], np.array([0, 0, 0, 1, 1, 1])
    member.set_params(unfreeze=unfreeze)
    text = r"^sample_weight: all zero – nothing could be learnt – give some samples a non-zero"
    with pytest.raises(InputError, match=text):
        member.fit(images, y, sample_weight=np.zeros(6))
    with pytest.raises(InputError, match=text):
        member.fit_each(images, np.array(y), [np.arange(3), np.arange(6)], sample_weight=weight)


OF_FINE_TUNING = {
    "views": 2,
    "zoom": 1.5,
    "jitter": 0.1,
    "weight_decay": 0.1,
    "warmup": 1.0,
    "head_warmup": 1,
    "layer_decay": 0.5,
    "label_smoothing": 0.0,
    "loss": "focal",
    "sampling": 0.5,
    "mixup": 0.2,
    "ema": 0.9,
    "view_mean": "log",
    "checkpoint": "folder",
}


@pytest.mark.parametrize("unfreeze", [None, 0])
@pytest.mark.parametrize(("name", "value"), OF_FINE_TUNING.items())
def test_what_only_fine_tuning_heeds_is_refused_where_nothing_is(data, unfreeze, name, value):
    text = rf"parameters: {name}={value!r} – nothing is fine-tuned, so .* – pass unfreeze, or leave"
    with pytest.raises(InputError, match=text):
        member(unfreeze=unfreeze, **{name: value}).fit(*data[:2])


def test_all_that_would_do_nothing_is_named_at_once(data):
    lazy = [("net", member(**OF_FINE_TUNING))]
    text = ", ".join(f"{name}={value!r}" for name, value in OF_FINE_TUNING.items())
    with pytest.raises(InputError, match=text):
        Stage(lazy).fit(*data[:2], groups=data[2])
    heads = set(DenseHead().get_params()) - {"scaling"}
    bodies = set(BackboneFeatures().get_params()) | {"unfreeze"}
    assert set(OF_FINE_TUNING) == set(TransferClassifier().get_params()) - heads - bodies
