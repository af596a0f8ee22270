from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from skinensemble.backbones import get_backbone, register_backbone
from skinensemble.backbones._cuts import Cut
from skinensemble.exceptions import ImageReadError, InputError, WeightsError
from skinensemble.features import FeatureStore, _keeper, load_cut, load_extractor
from skinensemble.features import _built as module
from skinensemble.features._activations import CutNetwork
from skinensemble.features._fingerprint import fingerprint
from skinensemble.features._progress import Progress
from skinensemble.images import as_images
from skinensemble.images._views import View
from skinensemble.persistence._atomic import SaveError


@pytest.fixture
def extractor(tiny):
    found = load_extractor(tiny, None)
    found._equal_places(found.batch_size)  # so that only passes of images are counted from here on
    return found


def _save_weights(model, path):
    with warnings.catch_warnings():
        # Keras 3.15 converts its variables in a way that NumPy 2 warns of.
        warnings.simplefilter("ignore", DeprecationWarning)
        model.save_weights(path)


def _direct(extractor, images):
    return extractor.model.predict(images, verbose=0)


class TestRows:
    def test_as_keras_predicts(self, extractor, images):
        square = images[:, 2:34]
        rows = extractor(as_images(images), FeatureStore())
        assert (rows.shape, rows.dtype) == ((12, 16), np.float32)
        np.testing.assert_allclose(rows, _direct(extractor, square), atol=1e-5)
        assert rows.std() > 0.01

    def test_of_their_image_whatever_stands_beside_it(self, extractor, images):
        many = np.concatenate([images, images[::-1] // 2, 255 - images])
        whole = extractor(as_images(many), FeatureStore())
        order = np.random.default_rng(1).permutation(len(many))
        mixed = extractor(as_images(many)[order], FeatureStore())
        np.testing.assert_array_equal(mixed, whole[order])
        for chosen in ([7], [35, 3], range(9)):
            few = extractor(as_images(many)[list(chosen)], FeatureStore())
            np.testing.assert_array_equal(few, whole[list(chosen)])

    def test_maps_and_other_size(self, tiny, images):
        maps = load_extractor(tiny, None, image_size=(24, 40), pooling=None)
        assert maps.size == (24, 40)
        assert maps(as_images(images[:2]), FeatureStore()).shape == (2, 5, 9, 16)

    def test_places_that_differ_are_left_out(self, extractor, images, monkeypatch):
        """A network that computes otherwise in the last three places of a batch."""

        def predict(batch):
            rows = batch.mean(axis=(1, 2)).astype(np.float32)
            rows[-3:] += 1e-6 * rows[-3:]
            return rows @ np.ones((3, 16), np.float32)

        monkeypatch.setattr(extractor, "_predict", predict)
        monkeypatch.setattr(extractor, "_places", {})
        rows = extractor(as_images(images), FeatureStore(), batch_size=8)
        assert extractor._places[8].tolist() == [0, 1, 2, 3, 4]
        alone = [extractor(as_images(images[[at]]), FeatureStore(), batch_size=8) for at in (4, 11)]
        np.testing.assert_array_equal(np.concatenate(alone), rows[[4, 11]])


class TestOnce:
    def test_each_distinct_image_passes_once(self, extractor, images, passed):
        store, source = FeatureStore(), as_images(np.concatenate([images, images[:5]]))
        rows = extractor(source, store)
        assert [len(batch) for batch in passed] == [16]
        assert len(store) == 12
        np.testing.assert_array_equal(rows[12:], rows[:5])
        np.testing.assert_array_equal(extractor(source[::-1], store), rows[::-1])
        assert len(passed) == 1

    def test_only_what_is_missing(self, extractor, images, passed):
        store = FeatureStore()
        first = extractor(as_images(images[:4]), store)
        again = extractor(as_images(images[:7]), store)
        seen = [batch.any(axis=(1, 2, 3)).sum() for batch in passed]
        assert seen == [4, 3]
        np.testing.assert_array_equal(again[:4], first)

    def test_batches_have_one_shape(self, extractor, images, passed):
        extractor(as_images(images), FeatureStore(), batch_size=5)
        assert {batch.shape for batch in passed} == {(5, 32, 32, 3)}
        assert {batch.dtype for batch in passed} == {np.dtype(np.uint8)}

    def test_threads_do_not_repeat_work(self, extractor, images, passed):
        store, source, rows = FeatureStore(), as_images(images), []
        threads = [
            threading.Thread(target=lambda: rows.append(extractor(source, store))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(passed) == 1
        assert all((one == rows[0]).all() for one in rows)
        assert len(rows) == 4

    def test_budget_smaller_than_the_question(self, extractor, images):
        store = FeatureStore(max_bytes=200)
        rows = extractor(as_images(images), store)
        np.testing.assert_array_equal(rows, extractor(as_images(images), FeatureStore()))
        assert store.nbytes <= 200
        np.testing.assert_array_equal(rows, extractor(as_images(images), store))

    def test_damaged_shard_is_computed_again(self, extractor, images, passed, tmp_path):
        rows = extractor(as_images(images), FeatureStore(tmp_path))
        (shard,) = tmp_path.rglob("*.npy")
        shard.write_bytes(shard.read_bytes()[:-1])
        with pytest.warns(UserWarning, match=shard.stem):
            again = extractor(as_images(images), FeatureStore(tmp_path))
        np.testing.assert_array_equal(again, rows)
        assert len(passed) == 2

    def test_rows_of_activation_size_on_disk(self, tiny, images, passed, tmp_path):
        maps = load_extractor(tiny, None, pooling=None)
        rows = maps(as_images(images[:1]), FeatureStore(tmp_path))
        count = len(passed)
        np.testing.assert_array_equal(maps(as_images(images[:1]), FeatureStore(tmp_path)), rows)
        assert len(passed) == count


class TestInterruption:
    def test_what_was_computed_is_kept(self, extractor, images, monkeypatch):
        store, real = FeatureStore(), extractor.model.predict_on_batch
        third = images[2 * len(extractor._equal_places(4)), 2:34]

        def stop_at_third(batch):
            # By what it holds: two batches are in the network at a time, in either order.
            if (batch[0] == third).all():
                raise KeyboardInterrupt
            return real(batch)

        monkeypatch.setattr(extractor.model, "predict_on_batch", stop_at_third)
        with pytest.raises(KeyboardInterrupt):
            extractor(as_images(images), store, batch_size=4)
        kept = len(store)
        assert kept == 2 * len(extractor._places[4])
        monkeypatch.undo()
        rows = extractor(as_images(images), store, batch_size=4)
        np.testing.assert_array_equal(
            rows, extractor(as_images(images), FeatureStore(), batch_size=4)
        )

    def test_chunks_reach_the_disk_on_the_way(self, extractor, images, tmp_path, monkeypatch):
        monkeypatch.setattr(_keeper, "_CHUNK", 4)
        extractor._equal_places(4)
        extractor(as_images(images), FeatureStore(tmp_path), batch_size=4)
        assert len(list(tmp_path.rglob("*.npy"))) == 3

    def test_unreadable_images_leave_no_rows(self, extractor, images, tmp_path):
        paths = []
        for number, image in enumerate(images):
            paths.append(tmp_path / f"{number}.jpg")
            Image.fromarray(image if number != 7 else 0 * image).save(paths[-1])
        for number in (2, 5):
            data = paths[number].read_bytes()
            paths[number].write_bytes(data[: len(data) // 2])
        store = FeatureStore()
        with pytest.raises(ImageReadError, match=r"2\.jpg[\s\S]*5\.jpg"):
            extractor(as_images(paths), store)
        # The black one could be bad too, as long as the pass had not ended well.
        assert len(store) == 9
        good = [path for number, path in enumerate(paths) if number not in (2, 5)]
        rows = extractor(as_images(good), store)
        assert len(store) == 10
        np.testing.assert_array_equal(rows, extractor(as_images(good), FeatureStore()))

    def test_store_that_cannot_be_written_is_found_first(self, extractor, images, passed, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(SaveError, match=r"feature store: .* cannot be written"):
            extractor(as_images(images), FeatureStore(tmp_path / "file" / "store"))
        assert passed == []


class TestIdentity:
    def test_cached_by_backbone_weights_size_pooling_and_fit(self, tiny):
        first = load_extractor("tiny_features", None)
        assert load_extractor(tiny, None, 32) is first
        assert load_extractor(tiny, None, (32, 32), "avg", "crop") is first
        others = [
            load_extractor(tiny, None, 40),
            load_extractor(tiny, None, pooling="max"),
            load_extractor(tiny, None, fit="pad"),
        ]
        assert len({one.fingerprint for one in (first, *others)}) == 4

    def test_cache_is_bounded(self, tiny, monkeypatch):
        monkeypatch.setattr(module, "_CACHED", 2)
        first = load_extractor(tiny, None, 33)
        load_extractor(tiny, None, 34)
        assert load_extractor(tiny, None, 33) is first
        load_extractor(tiny, None, 35)
        load_extractor(tiny, None, 34)
        assert len(module._cache) == 2
        again = load_extractor(tiny, None, 33)
        assert again is not first
        assert again.fingerprint == first.fingerprint

    def test_registered_anew_is_another(self, tiny):
        def builder(units, activation="relu"):
            def build(input_shape):
                import keras

                layer = keras.layers.Conv2D(units, 3, activation=activation)
                return keras.Sequential([keras.Input(input_shape), layer])

            return build

        made = []
        for build, preprocess in (
            (builder(3), "tf"),
            (builder(4), "tf"),
            (builder(3, "tanh"), "tf"),
            (builder(3), "torch"),
        ):
            register_backbone(
                "again_features", build, input_size=32, preprocess=preprocess, overwrite=True
            )
            made.append(load_extractor("again_features", None))
        assert made[1].n_features == 4
        assert len({one.fingerprint for one in made}) == 4

    def test_file_of_weights_that_changed(self, tiny, tmp_path):
        path = tmp_path / "tiny.weights.h5"
        model = tiny.build(None)
        maps = tiny.build(None, pooling=None)
        _save_weights(maps, path)
        first = load_extractor(tiny, path)
        assert load_extractor(tiny, str(path)) is first
        assert first.fingerprint == load_extractor(tiny, None).fingerprint
        maps.set_weights([1.5 * weight for weight in model.get_weights()])
        _save_weights(maps, path)
        second = load_extractor(tiny, path)
        assert second is not first
        assert second.fingerprint != first.fingerprint

    def test_names_of_layers_do_not_matter(self, tiny):
        import keras

        before = load_extractor(tiny, None).fingerprint
        for _ in range(3):
            keras.layers.Conv2D(1, 1)
        model = tiny.build(None)
        assert module.Extractor(model, tiny.name).fingerprint == before

    def test_same_in_a_new_process_of_keras_names(self, tiny):
        import keras

        before = module.Extractor(tiny.build(None), "tiny").fingerprint
        keras.backend.clear_session(free_memory=False)
        assert module.Extractor(tiny.build(None), "tiny").fingerprint == before

    def test_bad_parameters(self, tiny):
        with pytest.raises(InputError, match="there is none of that name"):
            load_extractor("tiny_featurs", None)
        with pytest.raises(InputError, match="fit"):
            load_extractor(tiny, None, fit="stretch")
        with pytest.raises(WeightsError, match="no such file"):
            load_extractor(tiny, "/nowhere/file.weights.h5")
        with pytest.raises(WeightsError, match="no such choice"):
            load_extractor(tiny, 5)

    @pytest.mark.parametrize("bad", [0, -3, 2.5, "32", True])
    def test_bad_batch_size(self, extractor, images, bad):
        with pytest.raises(InputError, match=r"batch_size: .* not a positive int"):
            extractor(as_images(images), FeatureStore(), batch_size=bad)

    def test_repr(self, extractor):
        assert repr(extractor).startswith("Extractor(tiny_features, 32×32, ")


class TestProgress:
    def test_silent(self, extractor, images, capsys):
        extractor(as_images(images), FeatureStore())
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize("verbose", [1, 2])
    def test_one_line_without_a_terminal(self, extractor, images, capsys, verbose):
        extractor(as_images(images), FeatureStore(), verbose=verbose)
        line = capsys.readouterr().out
        assert line.startswith("tiny_features: 12 images, ")
        assert line.endswith(" images/s\n")
        assert line.count("\n") == 1

    def test_lines_of_a_long_run(self, capsys, monkeypatch):
        monkeypatch.setattr("time.monotonic", iter(range(0, 1000, 10)).__next__)
        progress = Progress("net", 100, 1)
        for _ in range(3):
            progress.advance(20)
        lines = capsys.readouterr().out.splitlines()
        assert lines == ["net: 40 of 100 images, 2.0 images/s, 30 s left"]

    def test_bar_on_a_terminal(self, capsys, monkeypatch):
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        progress = Progress("net", 40, 1)
        progress.advance(20)
        progress.advance(20)
        out = capsys.readouterr().out
        assert "net: features of 40 images" in out
        assert "40/40" in out
        assert "images/s" in out

    def test_nothing_to_do(self, extractor, images, capsys):
        store = FeatureStore()
        extractor(as_images(images), store)
        extractor(as_images(images), store, verbose=1)
        assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v2"])
def test_real_network_rows_are_bit_equal(name, ham10000, imagenet_weights):
    weights = imagenet_weights / "mobilenet_v2_1.0_224_notop.weights.h5"
    extractor = load_extractor(name, weights if name == "mobilenet_v2" else "imagenet")
    source = as_images(sorted((ham10000 / "images").glob("*.jpg"))[:70])
    rows = extractor(source, FeatureStore())
    order = np.random.default_rng(0).permutation(len(source))
    np.testing.assert_array_equal(extractor(source[order], FeatureStore()), rows[order])
    np.testing.assert_array_equal(extractor(source[[40]], FeatureStore()), rows[[40]])
    direct = extractor.model.predict(next(iter(source[:8].batches(224))), verbose=0)
    np.testing.assert_allclose(rows[:8], direct, atol=1e-4)
    assert extractor.size == (224, 224)
    assert get_backbone(name).input_size == 224


def test_activations_that_wait_for_the_next_network_are_those_of_its_precision():
    class Lower:
        """Gives rows that tell in which precision they were computed."""

        precision, fingerprint = 0.0, "0" * 64
        row_shape, dtype, batch_size = (2, 2, 1), np.dtype(np.float32), 16

        def key(self, view=None):
            return f"{self.fingerprint}{int(self.precision)}"

        def __call__(self, source, *_, **__):
            return np.full((len(source), 2, 2, 1), self.precision, np.float32)

    lower = Lower()
    network = CutNetwork(lower, None, Cut("add", 0, (2, 2, 1), True))
    source, store = as_images(np.zeros((3, 8, 8, 3), np.uint8)), FeatureStore()
    for precision in (32.0, 16.0, 32.0):
        lower.precision = precision
        ((rows,),) = network.stream(source, store, (View(),))
        assert (rows == precision).all()


@pytest.mark.parametrize("load", [load_extractor, load_cut])
def test_one_network_for_all_ways_to_say_a_size(tiny, load):
    last = ("avg", "crop") if load is load_extractor else ("crop", 1)
    found = {id(load(tiny, None, size, *last)) for size in (None, 32, (32, 32), [np.int64(32), 32])}
    assert len(found) == 1
    for bad in (np.array([32, 32]), {32: 32}, True, (32, 32, 3)):
        with pytest.raises(InputError, match=r"image_size: .* – it is not a size in pixels"):
            load(tiny, None, bad, *last)


def test_a_pooling_that_is_none_is_refused_of_any_type(tiny):
    with pytest.raises(InputError, match=r"pooling: \['avg'\] – unknown"):
        load_extractor(tiny, None, 32, ["avg"])


def test_a_layer_may_be_named_like_what_it_does():
    import keras

    def network(activation):
        layers = [
            keras.layers.Input((8, 8, 3)),
            keras.layers.Activation(activation, name=activation),
        ]
        return keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D()])

    def pooled(kind):
        layers = [keras.layers.Input((8, 8, 3)), kind(2, name=kind.__name__)]
        return keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D()])

    alike = [
        *(network(name) for name in ("relu", "tanh")),
        *(pooled(kind) for kind in (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)),
    ]
    assert len({fingerprint(model) for model in alike}) == 4
    assert fingerprint(network("relu")) == fingerprint(network("relu"))


def test_another_processor_finds_its_own_equal_places(extractor):
    extractor(as_images(np.zeros((3, 40, 40, 3), np.uint8)), FeatureStore())
    assert "_places" not in extractor.__getstate__()
