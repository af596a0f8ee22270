"""OpenVINO computes what Keras computes; what it cannot run, Keras does, or an error says so."""

from __future__ import annotations

import importlib
import pickle
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny_backbone import TINY

from skinensemble import FeatureStore, PretrainedMember, Stage, TransferClassifier, config_context
from skinensemble.backbones import get_backbone
from skinensemble.engines import EngineWarning, _openvino, make_runner
from skinensemble.exceptions import EngineError, InputError
from skinensemble.features import Extractor, load_extractor
from skinensemble.images import as_images

FLOAT32 = {"engine": "openvino", "precision": "float32"}


def has_bfloat16() -> bool:
    try:
        _openvino.check_bfloat16()
    except InputError:
        return False
    return True


needs_bfloat16 = pytest.mark.skipif(not has_bfloat16(), reason="a processor without bfloat16")


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (23, 36, 32, 3), dtype=np.uint8)


@pytest.fixture
def extractor():
    """A new one each time: engines are kept in it."""
    return Extractor(get_backbone(TINY["backbone"]).build(None), TINY["backbone"])


def rows(extractor, images, **config):
    with config_context(**config):
        return extractor(as_images(images), FeatureStore())


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("tiny_transfer", "avg"),
        ("tiny_transfer", None),
        pytest.param("mobilenet_v2_035", None, marks=pytest.mark.slow),
        pytest.param("efficientnet_lite0", None, marks=pytest.mark.slow),
    ],
)
def test_features_and_maps_agree_with_keras(name, pooling, images):
    extractor = load_extractor(name, None, 64, pooling)
    ours, theirs = (rows(extractor, images, engine=one) for one in ("openvino", "keras"))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
    assert ours.std() > 0


def test_a_row_does_not_depend_on_its_neighbours(extractor, images):
    whole = rows(extractor, images, engine="openvino")
    order = np.random.default_rng(1).permutation(len(images))
    np.testing.assert_array_equal(rows(extractor, images[order], engine="openvino"), whole[order])
    for chosen in ([7], [22, 3], range(17)):
        few = rows(extractor, images[list(chosen)], engine="openvino")
        np.testing.assert_array_equal(few, whole[list(chosen)])


def test_several_threads_may_call_at_once(extractor, images):
    square = images[:, :32]
    runner = make_runner(extractor.model, "tiny", **FLOAT32)
    expected = runner(square)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(runner, [square[at % 5 :] for at in range(40)]):
            np.testing.assert_array_equal(found, expected[-len(found) :])


class Request:
    """What waits for an image of three numbers, and fails where one is negative."""

    def __init__(self):
        self.data = np.zeros((1, 3), np.float32)

    def get_input_tensor(self):
        return self

    get_output_tensor = get_input_tensor

    def start_async(self):
        if self.data[0, 0] == -1:
            raise RuntimeError("it does not start")

    def wait(self):
        if self.data[0, 0] == -2:
            raise RuntimeError("it does not end")


class Compiled:
    shape = (1, 3)
    output = staticmethod(lambda at: Compiled)
    get_property = staticmethod(lambda name: 2)
    create_infer_request = Request


@pytest.mark.parametrize("bad", [np.ones((4, 5)), [[0] * 3, [-1] * 3], [[0] * 3, [-2] * 3] * 2])
def test_a_failure_costs_no_request(bad):
    runner = _openvino.OpenVINORunner(Compiled)
    with pytest.raises((RuntimeError, ValueError)):
        runner(np.array(bad, np.float32))
    assert runner._free.qsize() == 4
    np.testing.assert_array_equal(runner(np.ones((9, 3), np.float32)), np.ones((9, 3)))


def test_the_network_is_compiled_once_for_each_choice(extractor, images, monkeypatch):
    compiled = []
    real = _openvino._convert
    monkeypatch.setattr(_openvino, "_convert", lambda *args: compiled.append(1) or real(*args))
    for engine in ("openvino", "keras", "openvino"):
        rows(extractor, images[:2], engine=engine)
    assert len(compiled) == 1


def test_rows_in_float32_are_shared_by_the_engines(extractor, images):
    store, source = FeatureStore(), as_images(images)
    with config_context(engine="openvino"):
        first = extractor(source, store)
    np.testing.assert_array_equal(extractor(source, store), first)
    assert len(store) == len(images)


@needs_bfloat16
def test_rows_in_bfloat16_are_close_and_kept_apart(extractor, images):
    store, source = FeatureStore(), as_images(images)
    exact = extractor(source, store)
    with config_context(engine="openvino", precision="bfloat16"):
        rounded = extractor(source, store)
        np.testing.assert_array_equal(extractor(source, store), rounded)
    assert len(store) == 2 * len(images)
    assert (rounded != exact).any()
    np.testing.assert_allclose(rounded, exact, atol=0.05 * exact.max())
    np.testing.assert_array_equal(extractor(source, store), exact)


def test_a_finished_model_with_its_preprocessing(images):
    import keras

    layers = [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential(layers)
    y = np.resize(["bkl", "mel", "nv"], len(images))
    for preprocess in ("tf", lambda pixels: pixels / 255):
        found = []
        for engine in ("keras", "openvino"):
            member = PretrainedMember(
                model, ["nv", "mel", "bkl"], preprocess=preprocess, store=FeatureStore()
            )
            with config_context(engine=engine):
                found.append(member.fit(images, y).predict_proba(images))
        np.testing.assert_allclose(*found, atol=1e-5)


def test_probabilities_and_workers(images):
    """The threads that train members run the engine that the caller chose."""
    y, lesions = np.resize(["mel", "nv"], 23), np.arange(23)
    head = {"units": (4,), "epochs": 2, "random_state": 0}
    found, passes = [], []
    real = Extractor._predict
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Extractor,
            "_predict",
            lambda self, batch: passes.append(type(self._runner).__name__) or real(self, batch),
        )
        for engine in ("keras", "openvino"):
            # A store that keeps nothing: each fit computes its features anew.
            member = TransferClassifier(**TINY | head, store=FeatureStore(max_bytes=1))
            stage = Stage([("a", member), ("b", member)], cv=2, n_jobs=2, random_state=0)
            with config_context(engine=engine), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append(stage.fit(images, y, groups=lesions).predict_proba(images))
            kinds, passes = set(passes), []
            assert kinds == {"KerasRunner" if engine == "keras" else "OpenVINORunner"}
    np.testing.assert_allclose(*found, atol=1e-4)


class TestWhatCannotRun:
    @pytest.fixture
    def stubborn(self, monkeypatch):
        def convert(openvino, model):
            raise RuntimeError("no rule for the layer Swirl\nat line 3")

        monkeypatch.setattr(_openvino, "_convert", convert)

    @pytest.mark.usefixtures("stubborn")
    def test_by_name_is_an_error(self, extractor, images):
        text = r"network: tiny_transfer – OpenVINO cannot run it \(RuntimeError: no rule for the "
        with pytest.raises(EngineError, match=text + r'layer Swirl\) – use engine="keras"'):
            rows(extractor, images, engine="openvino")

    @pytest.mark.usefixtures("stubborn")
    def test_auto_warns_once_and_takes_keras(self, extractor, images):
        with pytest.warns(EngineWarning, match=r"no rule for .* Keras runs it meanwhile$") as seen:
            found = [rows(extractor, images, engine="auto") for _ in range(2)]
        assert len(seen) == 1
        np.testing.assert_array_equal(found, [rows(extractor, images, engine="keras")] * 2)

    def test_auto_without_openvino_says_nothing(self, extractor, images, monkeypatch):
        monkeypatch.setitem(sys.modules, "openvino", None)
        rows(extractor, images, engine="auto")
        assert type(extractor._runner).__name__ == "KerasRunner"

    @pytest.mark.parametrize(
        "cause", [OSError("libtbb.so.12"), ModuleNotFoundError("no numpy", name="numpy")]
    )
    def test_auto_with_a_broken_one_warns(self, extractor, images, monkeypatch, cause):
        real = importlib.import_module

        def broken(name, *args):
            if name == "openvino":
                raise cause
            return real(name, *args)

        monkeypatch.setattr("skinensemble._optional.importlib.import_module", broken)
        with pytest.warns(EngineWarning, match="broken package: openvino – .*Keras runs it mean"):
            rows(extractor, images, engine="auto")

    def test_auto_with_an_old_one_warns(self, extractor, images, monkeypatch):
        monkeypatch.setattr("openvino.__version__", "2025.4.0")
        with pytest.warns(EngineWarning, match=r"2026\.1 or newer is needed"):
            rows(extractor, images, engine="auto")

    @needs_bfloat16
    @pytest.mark.usefixtures("stubborn")
    def test_auto_does_not_round_otherwise_than_asked(self, extractor, images):
        with pytest.raises(EngineError, match="Swirl"):
            rows(extractor, images, engine="auto", precision="bfloat16")


def test_a_pickled_extractor_compiles_anew(extractor, images):
    expected = rows(extractor, images, engine="openvino")
    state = extractor.__getstate__()
    assert not {"_runner", "_runners", "_asking", "_computing"} & set(state)
    twin = pickle.loads(pickle.dumps(extractor))
    np.testing.assert_array_equal(rows(twin, images, engine="openvino"), expected)


def test_nothing_is_reported_to_its_makers():
    _openvino.import_openvino()
    assert sys.modules["openvino_telemetry"] is None
