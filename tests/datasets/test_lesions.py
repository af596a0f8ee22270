from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinensemble.datasets._lesions import make_lesions
from skinensemble.datasets._lesions._fields import EXTENT, honeycomb, noise
from skinensemble.datasets._lesions._optics import Layers, colour
from skinensemble.datasets._lesions._outline import make_spot
from skinensemble.datasets._lesions._plan import lesion_types, type_weights
from skinensemble.datasets._lesions._recipes import FORM, STRUCTURES, draw_traits
from skinensemble.exceptions import InputError
from skinensemble.taxonomy import DIAGNOSES, MALIGNANT


@pytest.fixture(scope="module")
def data():
    return make_lesions(60, images_per_lesion=(1, 3), size=64, random_state=0)


def test_arrays_have_the_documented_shapes_and_types(data):
    n = len(data.target)
    assert data.images.shape == (n, 64, 64, 3)
    assert data.images.dtype == np.uint8
    assert data.target.shape == data.groups.shape == (n,)
    assert data.target.dtype.kind == data.groups.dtype.kind == "U"
    assert data.target_names == list(DIAGNOSES)


def test_lesions_have_one_to_three_images_of_one_type(data):
    lesions, counts = np.unique(data.groups, return_counts=True)
    assert len(lesions) == 60
    assert set(counts) == {1, 2, 3}
    for lesion in lesions:
        assert len(set(data.target[data.groups == lesion])) == 1


def test_frame_repeats_the_arrays(data):
    assert list(data.frame.columns) == ["lesion_id", "image_id", "dx"]
    assert data.frame["dx"].tolist() == data.target.tolist()
    assert data.frame["lesion_id"].tolist() == data.groups.tolist()
    assert data.frame["image_id"].is_unique


def test_frame_is_none_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert make_lesions(1, size=16, random_state=0).frame is None


def test_description_counts_images_and_lesions(data):
    assert f"{len(data.target)} images of 60 lesions, 64 × 64 pixels" in data.DESCR
    n_images = (data.target == "nv").sum()
    n_lesions = len(set(data.groups[data.target == "nv"]))
    assert f"nv    {n_images:6d} images{n_lesions:6d} lesions" in data.DESCR


def test_same_seed_gives_the_same_bits(data):
    again = make_lesions(60, images_per_lesion=(1, 3), size=64, random_state=0)
    assert again.images.tobytes() == data.images.tobytes()
    assert again.target.tolist() == data.target.tolist()


def test_same_seed_gives_the_same_bits_in_a_new_process():
    code = (
        "from skinensemble.datasets._lesions import make_lesions; import hashlib, sys;"
        "X, y = make_lesions(12, size=48, random_state=3, return_X_y=True);"
        "print(hashlib.sha256(X.tobytes()).hexdigest(), 'keras' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    digest, keras_was_loaded = run.stdout.split()
    here = make_lesions(12, size=48, random_state=3, return_X_y=True)[0]
    assert digest == hashlib.sha256(here.tobytes()).hexdigest()
    assert keras_was_loaded == "False"


def test_other_seed_gives_other_lesions(data):
    other = make_lesions(60, images_per_lesion=(1, 3), size=64, random_state=1)
    assert other.images[0].tobytes() != data.images[0].tobytes()


def test_more_lesions_leave_the_first_ones_as_they_are(data):
    few = make_lesions(7, images_per_lesion=(1, 3), size=64, random_state=0)
    n = len(few.target)
    np.testing.assert_array_equal(few.images, data.images[:n])
    np.testing.assert_array_equal(few.target, data.target[:n])
    np.testing.assert_array_equal(few.groups, data.groups[:n])


def test_random_state_instance_advances_and_the_global_state_does_not():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    state = np.random.RandomState(0)
    first = make_lesions(2, size=16, random_state=state).images
    second = make_lesions(2, size=16, random_state=state).images
    assert first.shape != second.shape or (first != second).any()
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_return_X_y_gives_the_arrays_alone(data):
    X, y = make_lesions(60, images_per_lesion=(1, 3), size=64, random_state=0, return_X_y=True)
    np.testing.assert_array_equal(X, data.images)
    np.testing.assert_array_equal(y, data.target)


def test_a_lesion_looks_the_same_at_every_size():
    large = make_lesions(14, images_per_lesion=1, size=128, random_state=5).images
    small = make_lesions(14, images_per_lesion=1, size=64, random_state=5).images
    for big, little in zip(large, small, strict=True):
        halved = np.asarray(Image.fromarray(big).reduce(2), float)
        assert np.abs(halved - little).mean() < 8
        assert np.corrcoef(halved.ravel(), little.ravel())[0, 1] > 0.9


def test_images_of_one_lesion_are_alike_but_never_equal():
    data = make_lesions(40, images_per_lesion=2, size=48, difficulty=0, random_state=0)
    first, second = data.images[0::2], data.images[1::2]
    assert all((a != b).any() for a, b in zip(first, second, strict=True))

    # How much darker than the skin a lesion is survives turn, place and camera.
    def contrast(images):
        grey = images.mean(axis=3)
        middle, edge = grey[:, 18:30, 18:30], np.median(grey.reshape(len(grey), -1), axis=1)
        return middle.mean(axis=(1, 2)) / edge

    assert np.corrcoef(contrast(first), contrast(second))[0, 1] > 0.5


@pytest.mark.parametrize("seed", range(25))
def test_every_type_occurs_among_twenty_lesions(seed):
    types = lesion_types(np.random.SeedSequence(seed), 20, type_weights(None))
    assert set(types) == set(range(7))


@given(
    seed=st.integers(0, 2**32 - 1),
    n_lesions=st.integers(1, 400),
    weights=st.lists(st.floats(0, 1), min_size=7, max_size=7).filter(lambda w: sum(w) > 0.01),
)
def test_counts_follow_the_shares_and_never_depend_on_what_comes_later(seed, n_lesions, weights):
    shares = type_weights(weights)
    types = lesion_types(np.random.SeedSequence(seed), n_lesions, shares)
    assert types.shape == (n_lesions,)
    # One lesion a stretch and type; the stretches themselves shift by one lesion a type at most.
    assert (
        np.abs(np.bincount(types, minlength=7) - n_lesions * shares).max() <= 1 + 7 * shares.max()
    )
    longer = lesion_types(np.random.SeedSequence(seed), n_lesions + 50, shares)
    np.testing.assert_array_equal(longer[:n_lesions], types)
    assert not set(types) & set(np.flatnonzero(shares == 0))


def test_weights_by_name_code_and_order():
    np.testing.assert_allclose(type_weights("balanced"), np.full(7, 1 / 7))
    np.testing.assert_allclose(type_weights({"mel": 1, "nv": 3}), [0, 0, 0, 0, 0.25, 0.75, 0])
    np.testing.assert_allclose(type_weights([2, 0, 0, 0, 0, 0, 2]), [0.5, 0, 0, 0, 0, 0, 0.5])
    assert type_weights("ham10000")[5] == pytest.approx(5403 / 7470)


def test_a_type_without_weight_does_not_occur():
    data = make_lesions(12, weights={"mel": 1, "nv": 1}, size=16, random_state=0)
    assert set(data.target) == {"mel", "nv"}


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"n_lesions": 0}, "n_lesions: 0 – must be a whole number of at least 1"),
        ({"n_lesions": 2.5}, r"n_lesions: 2.5 – must be a whole number"),
        ({"n_lesions": True}, "n_lesions: True – must be a whole number"),
        ({"size": 8}, "size: 8 – must be a whole number of at least 16"),
        ({"images_per_lesion": 0}, "images_per_lesion: 0 – must be a whole number of at least 1"),
        ({"images_per_lesion": (3, 1)}, r"images_per_lesion: \(3, 1\) – the least is above"),
        ({"images_per_lesion": (1, 2, 3)}, "neither a number nor a pair – give"),
        ({"difficulty": 1.2}, "difficulty: 1.2 – must be a number from 0 to 1"),
        ({"difficulty": float("nan")}, "difficulty: nan – must be a number from 0 to 1"),
        ({"difficulty": "hard"}, "difficulty: 'hard' – must be a number from 0 to 1"),
        ({"weights": "isic"}, "weights: 'isic' – no such proportions – use one of mild, balanced"),
        ({"weights": {"nv": 1, "scc": 1, "xyz": 1}}, "weights: scc, xyz – these are no diagnosis"),
        ({"weights": [1, 2]}, r"weights: 1.0, 2.0 – shape \(2,\) for 7 types – give one per type"),
        ({"weights": [0] * 7}, "shares must be finite, not negative, and not all zero"),
        ({"weights": [1, 1, 1, 1, 1, 1, -1]}, "shares must be finite, not negative"),
    ],
)
def test_bad_parameters_are_named_with_the_way_out(parameters, text):
    with pytest.raises(InputError, match=text):
        make_lesions(**{"n_lesions": 3, "size": 16, "random_state": 0, **parameters})


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_structure_changes_the_lesion_and_leaves_the_far_skin(name):
    rng = np.random.default_rng(0)
    form = {trait: means[4] for trait, (means, _) in FORM.items()}
    spot = make_spot(rng, 96, form)
    layers = Layers.empty(96)
    layers.melanin += 0.2 + spot.mask
    before = colour(layers)
    STRUCTURES[name][0](layers, spot, rng, 1.0)
    after = colour(layers)
    assert np.isfinite(after).all()
    change = np.abs(after - before).mean(axis=2)
    assert change[spot.depth < 1].max() > 0.03
    assert change[spot.depth > 2.6].mean() < 0.002


def test_pigments_have_their_colours():
    def skin(**amounts):
        layers = Layers.empty(1)
        for name, amount in amounts.items():
            getattr(layers, name)[:] = amount
        return colour(layers)[0, 0]

    pale = skin()
    red, green, blue = skin(melanin=1)
    assert red > green and red > blue  # brown
    assert skin(melanin=4).max() < 0.25  # black
    red, green, blue = skin(dermal=2)
    assert blue > red  # blue-grey
    red, green, blue = skin(blood=1)
    assert red > 1.4 * max(green, blue)
    red, green, blue = skin(purple=1)
    assert red > blue > green
    assert skin(melanin=1, white=1).min() > pale.min()
    assert skin(keratin=1)[2] < 0.7 * pale[2]  # yellow


def test_noise_has_unit_variance_and_keeps_its_form_at_other_resolutions():
    fine = noise(np.random.default_rng(0), 192, 12, octaves=3)
    coarse = noise(np.random.default_rng(0), 96, 12, octaves=3)
    assert fine.std() == pytest.approx(1, abs=0.15)
    halved = fine.reshape(96, 2, 96, 2).mean(axis=(1, 3))
    assert np.corrcoef(halved.ravel(), coarse.ravel())[0, 1] > 0.97


def test_honeycomb_has_the_cells_it_is_asked_for():
    comb = honeycomb(np.random.default_rng(0), 240, 20, 0.0)
    power = np.abs(np.fft.fft2(comb - comb.mean()))
    frequency = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(240, EXTENT / 240)]))
    peak = frequency.ravel()[power.argmax()] * EXTENT
    assert peak == pytest.approx(20, abs=1.5)


def test_structures_follow_their_type_and_difficulty_mixes_types():
    def share(dx, structure, difficulty):
        rng = np.random.default_rng(0)
        drawn = [draw_traits(rng, dx, difficulty).structures for _ in range(400)]
        return np.mean([structure in traits for traits in drawn])

    assert share("vasc", "lacunae", 0.0) == pytest.approx(0.92, abs=0.05)
    assert share("nv", "lacunae", 0.0) == 0
    assert share("vasc", "lacunae", 1.0) < share("vasc", "lacunae", 0.0) - 0.1
    assert share("nv", "veil", 1.0) > share("nv", "veil", 0.0) + 0.03


def _probe(features, data):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    return cross_val_predict(
        model, features, data.target, groups=data.groups, cv=folds, method="predict_proba"
    )


def _figures(proba, data):
    codes = np.unique(data.target)
    malignant = proba[:, np.isin(codes, MALIGNANT)].sum(axis=1)
    accuracy = accuracy_score(data.target, codes[proba.argmax(axis=1)])
    return accuracy, roc_auc_score(np.isin(data.target, MALIGNANT), malignant)


def test_colours_alone_tell_something_but_not_everything():
    data = make_lesions(90, size=32, random_state=0)
    blocks = data.images.reshape(-1, 8, 4, 8, 4, 3).mean(axis=(2, 4))
    accuracy, auc = _figures(_probe(blocks.reshape(len(blocks), -1), data), data)
    assert 0.35 < accuracy < 0.8
    assert 0.6 < auc < 0.95


@pytest.mark.slow
def test_a_linear_probe_on_real_features_is_good_but_not_perfect(imagenet_weights):
    import keras

    size = 128
    data = make_lesions(300, images_per_lesion=1, size=size, random_state=0)
    network = keras.applications.MobileNetV2(
        include_top=False, pooling="avg", weights=None, input_shape=(size, size, 3)
    )
    network.load_weights(imagenet_weights / "mobilenet_v2_1.0_224_notop.weights.h5")
    features = network.predict(data.images / np.float32(127.5) - 1, verbose=0)
    accuracy, auc = _figures(_probe(features, data), data)
    assert 0.60 < accuracy < 0.88
    assert 0.85 < auc < 0.97
