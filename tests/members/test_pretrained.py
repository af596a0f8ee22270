from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.base import clone
from sklearn.utils import estimator_checks

from skinensemble import Cascade, FeatureStore, PretrainedMember, Stage
from skinensemble.exceptions import InputError, MemberError, ModelFileError
from skinensemble.features import Extractor
from skinensemble.images import fit_image

LABELS = ["bkl", "mel", "nv"]
SMALL, WIDE = (12, 12), (10, 16)


def network(size=SMALL, n=3, activation="softmax", seed=0):
    """A finished model: what it says depends on every pixel."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((*size, 3)),
            layers.Conv2D(4, 3, strides=2, activation="relu", kernel_initializer="he_normal"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(n, activation, kernel_initializer="he_normal"),
        ]
    )


def fixed(*outputs, size=SMALL):
    """A model that gives every image the same row of outputs."""
    bias = keras.initializers.Constant(outputs)
    head = layers.Dense(len(outputs), kernel_initializer="zeros", bias_initializer=bias)
    return keras.Sequential([keras.Input((*size, 3)), layers.GlobalAveragePooling2D(), head])


@pytest.fixture(scope="module")
def data():
    """Noise of one colour for each type, two images of each lesion."""
    rng = np.random.default_rng(0)
    y = np.repeat(LABELS, 8)
    shade = np.repeat([[200, 60, 60], [60, 200, 60], [60, 60, 200]], 8, axis=0)
    X = (shade[:, None, None] + rng.integers(-50, 50, (24, *SMALL, 3))).astype(np.uint8)
    return X, y, np.arange(24) // 2


@pytest.fixture(scope="module")
def model():
    return network()


def member(model, classes=LABELS, **options) -> PretrainedMember:
    return PretrainedMember(model, classes, **{"store": FeatureStore()} | options)


def by_hand(model, pixels):
    return model.predict_on_batch(pixels.astype(np.float32))


MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
BY_HAND = {
    "tf": lambda x: x / 127.5 - 1,
    "torch": lambda x: (x / 255 - MEAN) / STD,
    "caffe": lambda x: x[..., ::-1] - np.array([103.939, 116.779, 123.68]),
    "lite": lambda x: (x - 127) / 128,
    "vgg16": lambda x: x[..., ::-1] - np.array([103.939, 116.779, 123.68]),
    None: lambda x: x,
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_it_says_what_the_model_says_of_preprocessed_pixels(data, model, kind):
    X, y, _ = data
    found = member(model, preprocess=kind).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(found, by_hand(model, BY_HAND[kind](X.astype(float))), atol=1e-5)


def test_a_function_preprocesses_float_pixels_of_0_to_255(data, model):
    X, y, _ = data
    seen = []

    def halve(pixels):
        seen.append((pixels.dtype, pixels.shape[1:], pixels.max() > 1))
        return pixels / 2

    found = member(model, preprocess=halve).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(found, by_hand(model, X / 2), atol=1e-5)
    assert set(seen) == {(np.dtype(np.float32), (*SMALL, 3), True)}
    other = member(model, preprocess=lambda pixels: pixels / 255, store=FeatureStore()).fit(X, y)
    assert not np.allclose(other.predict_proba(X), found)


def test_models_of_unlike_sizes_and_normalisations_vote_together(data, model):
    X, y, lesions = data
    wide = network(WIDE, seed=1)
    members = [
        ("small", member(model, preprocess="tf")),
        ("wide", member(wide, ["nv", "bkl", "mel"], preprocess="caffe", image_fit="squash")),
    ]
    stage = Stage(members, cv=2).fit(X, y, groups=lesions)
    stretched = np.stack([fit_image(one, WIDE, "squash") for one in X])
    small = by_hand(model, BY_HAND["tf"](X.astype(float)))
    other = by_hand(wide, BY_HAND["caffe"](stretched.astype(float)))[:, [1, 2, 0]]
    expected = np.stack([small, other], axis=1)
    np.testing.assert_allclose(stage.ballots(X), expected, atol=1e-5)
    np.testing.assert_allclose(stage.ballots_, expected, atol=1e-5)
    np.testing.assert_allclose(stage.predict_proba(X), expected.mean(axis=1), atol=1e-5)


def test_mixed_orders_of_classes_give_the_verdicts_of_sorted_ones(data, model):
    X, y, lesions = data
    order = [2, 0, 1]
    turned = network()
    turned.set_weights(
        [*model.get_weights()[:-2], *(w[..., order] for w in model.get_weights()[-2:])]
    )
    other = ("other", member(network(seed=3), preprocess="tf"))
    pairs = [(model, LABELS), (turned, [LABELS[at] for at in order])]
    stages = [Stage([("one", member(*pair, preprocess="tf")), other], cv=2) for pair in pairs]
    straight, mixed = (one.fit(X, y, groups=lesions) for one in stages)
    np.testing.assert_allclose(mixed.ballots_, straight.ballots_, atol=1e-6)
    assert mixed.predict(X).tolist() == straight.predict(X).tolist()
    assert mixed.members_[0].classes_.tolist() == LABELS


def test_outputs_of_one_label_are_added_up(data, model):
    X, y, _ = data
    side = np.where(y == "mel", "malignant", "benign")
    triage = member(model, ["benign", "malignant", "benign"]).fit(X, side)
    rows = by_hand(model, X)
    expected = np.stack([rows[:, 0] + rows[:, 2], rows[:, 1]], axis=1)
    np.testing.assert_allclose(triage.predict_proba(X), expected, atol=1e-6)
    assert triage.predict(X).tolist() == triage.classes_[expected.argmax(axis=1)].tolist()


def test_one_sigmoid_is_the_probability_of_the_second_label(data):
    X, y, _ = data
    side = np.where(y == "mel", "malignant", "benign")
    one = network(n=1, activation="sigmoid", seed=5)
    p = by_hand(one, X / 255)[:, 0]
    for classes, column in ((["benign", "malignant"], 1), (["malignant", "benign"], 0)):
        found = member(one, classes, preprocess=lambda x: x / 255).fit(X, side).predict_proba(X)
        np.testing.assert_allclose(found[:, column], p, atol=1e-6)
        np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("outputs", [(0.2, 0.1, 0.5), (3.0, -2.0, 0.0), (0.9, 0.8, 0.1), (-3.0,)])
def test_outputs_that_are_no_probabilities_are_refused_with_the_way_out(data, outputs):
    X, y, lesions = data
    classes = LABELS if len(outputs) == 3 else ["bkl", "mel"]
    text = r"^outputs: of the model – 24 of 24 rows are no probabilities, such as \[.* – add a soft"
    with pytest.raises(MemberError, match=text):
        member(fixed(*outputs), classes).fit(X, y).predict_proba(X)
    if len(outputs) == 3:
        text = r"^member: odd – MemberError in predict_proba: outputs: .* from_logits=True if"
        with pytest.raises(MemberError, match=text):
            Stage([("odd", member(fixed(*outputs)))], cv=2).fit(X, y, groups=lesions)


def test_logits_are_turned_into_probabilities_on_request(data):
    X, y, _ = data
    found = member(fixed(3.0, -2.0, 0.0), from_logits=True).fit(X, y).predict_proba(X)
    expected = np.exp([3.0, -2.0, 0.0]) / np.exp([3.0, -2.0, 0.0]).sum()
    np.testing.assert_allclose(found, np.tile(expected, (24, 1)), atol=1e-6)
    one = member(fixed(-3.0), ["bkl", "mel"], from_logits=True).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(one[:, 1], 1 / (1 + np.exp(3.0)), atol=1e-6)


def test_outputs_that_are_nan_are_named_by_the_stage(data, model):
    X, y, lesions = data
    members = [("good", member(model)), ("odd", member(fixed(0.5, np.nan, 0.5)))]
    with pytest.raises(MemberError, match=r"^member: odd – predict_proba gave NaN for 24 samples"):
        Stage(members, cv=2).fit(X, y, groups=lesions)


@pytest.fixture
def passes(monkeypatch):
    """How often each image went through each network, from now on."""
    counted: Counter = Counter()
    real = Extractor._predict

    def count(self, batch):
        counted.update((self.size, image.tobytes()) for image in batch if image.any())
        return real(self, batch)

    monkeypatch.setattr(Extractor, "_predict", count)
    return counted


def only(passes: Counter, X) -> dict:
    ours = {image.tobytes() for image in X}
    return {key: n for key, n in passes.items() if key[1] in ours}


def test_each_image_passes_the_network_once_over_both_stages_and_all_folds(data, model, passes):
    X, y, lesions = data
    store = FeatureStore()
    sides = member(model, ["benign", "malignant", "benign"], store=store)
    stages = (
        Stage([("m", one), ("again", clone(one))], cv=3)
        for one in (sides, member(model, store=store))
    )
    cascade = Cascade(*stages, malignant=["mel"], random_state=0).fit(X, y, groups=lesions)
    assert len(only(passes, X)) == 24
    assert set(only(passes, X).values()) == {1}
    passes.clear()
    cascade.predict(X), cascade.verdicts(X)
    assert only(passes, X) == {}


def test_a_clone_shares_the_model_and_keeps_what_was_set(data, model):
    one = member(model, preprocess="tf", batch_size=8)
    twin = clone(one)
    assert twin.model is one.model
    assert twin.get_params() == one.get_params()
    assert clone(Stage([("m", one)])).members[0][1].model is model


def test_the_model_is_left_as_it_is(data):
    X, y, _ = data
    own = network(seed=8)
    before = own.get_weights()
    member(own).fit(X, y).predict_proba(X)
    assert own.trainable
    assert len(own.trainable_weights) == 6
    for old, new in zip(before, own.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_model_that_was_changed_is_asked_anew_by_the_next_fit(data):
    X, y, _ = data
    own, store = network(seed=9), FeatureStore()
    one = member(own, store=store)
    before = one.fit(X, y).predict_proba(X)
    own.set_weights([weight * 1.5 for weight in own.get_weights()])
    after = one.fit(X, y).predict_proba(X)
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, by_hand(own, X), atol=1e-5)


def test_a_model_of_any_size_takes_the_size_that_is_given(data):
    X, y, _ = data
    any_size = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Rescaling(1 / 255),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, "softmax"),
        ]
    )
    with pytest.raises(InputError, match=r"^image_size: None – .* not known – pass image_size=224"):
        member(any_size).fit(X, y)
    fitted = member(any_size, image_size=(8, 12), image_fit="squash").fit(X, y)
    assert fitted.extractor_.size == (8, 12)
    shrunk = np.stack([fit_image(one, (8, 12), "squash") for one in X])
    np.testing.assert_allclose(fitted.predict_proba(X), by_hand(any_size, shrunk), atol=1e-5)


def two_inputs():
    left, right = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    both = layers.GlobalAveragePooling2D()(layers.Add()([left, right]))
    return keras.Model([left, right], layers.Dense(3, "softmax")(both))


WRONG = {
    "too few labels": (
        lambda: member(network(), LABELS[:2]),
        r"classes: 2 labels – the model has 3 outputs – name each of them, in order",
    ),
    "too many labels": (lambda: member(network(), [*LABELS, "df"]), "classes: 4 labels – the mo"),
    "one label": (lambda: member(network(), ["nv"] * 3), "classes: .* two distinct labels"),
    "mixed labels": (lambda: member(network(), ["nv", 1, 2]), "classes: .* of one type are needed"),
    "no labels": (lambda: member(network(), None), "classes: None – two distinct labels"),
    "a label that y lacks": (
        lambda: member(network(), ["bkl", "melanoma", "nv"]),
        r"classes: melanoma – not among the labels of y \(bkl, mel, nv\) – name the outputs as y",
    ),
    "no model": (
        lambda: member("model.keras"),
        "model: 'model.keras' – not a Keras model – .*from_k",
    ),
    "preprocess": (
        lambda: member(network(), preprocess="imagenet"),
        "preprocess: 'imagenet' – there is no preprocessing and no backbone of that name – pass No",
    ),
    "image_fit": (lambda: member(network(), image_fit="stretch"), "stretch"),
    "another size": (
        lambda: member(network(), image_size=32),
        "image_size: 32 – the model takes 12 × 12 pixels – leave it out",
    ),
    "two inputs": (lambda: member(two_inputs()), "model: input of shape .* – members take RGB"),
    "maps": (
        lambda: member(keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 1)])),
        r"model: output of shape \(None, 8, 8, 3\) – one row of class probabilities",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_said_before_anything_is_computed(data, case, passes):
    make, text = WRONG[case]
    with pytest.raises(InputError, match=text):
        make().fit(data[0], data[1])
    assert not passes


def test_a_file_is_opened_and_votes_as_the_model_did(data, model, tmp_path):
    X, y, _ = data
    path = tmp_path / "a model.keras"
    model.save(path)
    opened = PretrainedMember.from_keras(path, LABELS, preprocess="tf")
    expected = by_hand(model, BY_HAND["tf"](X.astype(float)))
    np.testing.assert_allclose(opened.fit(X, y).predict_proba(X), expected, atol=1e-5)
    assert not opened.model.compiled
    with pytest.raises(InputError, match="classes: 2 labels – the model has 3 outputs"):
        PretrainedMember.from_keras(path, LABELS[:2])


def save_lambda(folder):
    stack = [keras.Input((8, 8, 3)), layers.Lambda(lambda x: x), layers.Flatten()]
    path = folder / "model.keras"
    keras.Sequential([*stack, layers.Dense(3, "softmax")]).save(path)
    return path


def write(name, content=b"not a model"):
    def make(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return make


def saved_model(folder):
    path = folder / "model"
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"")
    return path


FILES = {
    "Lambda": (save_lambda, "Keras refuses it in safe mode .ValueError: .* – save it without Lam"),
    "text": (write("model.keras"), "it is not a .keras file, or it is damaged – open it with"),
    "cut off": (write("model.keras", b"PK\x03\x04" + bytes(99)), "it is not a .keras file, or"),
    "legacy": (write("model.h5"), r'legacy HDF5 files .* – open .* model.save\("model.keras"\)'),
    "pickle": (write("model.pkl", b"\x80\x04."), "it is not a .keras file"),
    "SavedModel": (saved_model, "it is a SavedModel folder, not a .keras file – open it with"),
    "folder": (lambda folder: folder, "it is a folder, not a .keras file"),
    "missing": (lambda folder: folder / "none.keras", "there is no such file – give the path"),
    "URL": (lambda folder: "hf://someone/model", "there is no such file"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_not_opened_say_why(case, tmp_path):
    make, text = FILES[case]
    path = make(tmp_path)
    with pytest.raises(ModelFileError, match=text) as caught:
        PretrainedMember.from_keras(path, LABELS)
    assert str(caught.value).startswith(f"cannot open: {path}".replace("//", "/")[:30])


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_valid_tag_types,
    ],
)
def test_common_checks_that_need_no_samples(check, model):
    check("PretrainedMember", PretrainedMember(model, LABELS))
