"""What runs the networks is chosen in one place, and what cannot be had is refused there."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from skinensemble import config_context, get_config, set_config
from skinensemble.engines import _config, _openvino, with_config
from skinensemble.exceptions import InputError, MissingDependencyError

KERAS = {"engine": "keras", "precision": "float32"}


@pytest.fixture(autouse=True)
def _unchanged(monkeypatch):
    monkeypatch.setattr(_config, "_process", dict(KERAS))


class Processor:
    """Stands in for a machine without bfloat16."""

    def get_property(self, device, name):
        assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
        return ["FP32", "INT8"]


def test_keras_is_the_default_and_a_block_ends():
    assert get_config() == KERAS
    with config_context(engine="auto"):
        assert get_config() == KERAS | {"engine": "auto"}
        with config_context(engine="keras"):
            assert get_config() == KERAS
        assert get_config()["engine"] == "auto"
    assert get_config() == KERAS


def test_the_process_is_set_for_all_threads_and_a_block_for_its_own():
    with config_context(engine="auto"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(get_config).result() == KERAS
    set_config(engine="auto")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(get_config).result()["engine"] == "auto"


def test_setting_the_process_inside_a_block_does_not_keep_the_block():
    with config_context(engine="auto"):
        set_config(precision="float32")
    assert get_config() == KERAS


def test_a_function_takes_the_choices_with_it():
    with config_context(engine="auto"):
        bound = with_config(lambda *args, **kwargs: (args, kwargs, get_config()["engine"]))
    found = []
    thread = threading.Thread(target=lambda: found.append(bound(1, name=2)))
    thread.start()
    thread.join()
    assert found == [((1,), {"name": 2}, "auto")]
    assert get_config() == KERAS


@pytest.mark.parametrize(
    "change", [set_config, lambda **given: config_context(**given).__enter__()]
)
@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"engine": "onnx"}, r"engine: 'onnx' – not one of 'keras', 'openvino', 'auto' – "),
        ({"precision": "int8"}, r"precision: 'int8' – not one of 'float32', 'bfloat16' – "),
        ({"precision": "bfloat16"}, r"Keras runs frozen networks in float32 – pass engine='openv"),
    ],
)
def test_choices_that_there_are_not(change, given, text):
    with pytest.raises(InputError, match=text.replace("='openv", '="openv')):
        change(**given)
    assert get_config() == KERAS


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_openvino_that_is_missing_is_named_with_its_command(monkeypatch, precision):
    monkeypatch.setitem(sys.modules, "openvino", None)
    text = r'missing package: openvino – .* need it – pip install "skinensemble\[fast\]"'
    with pytest.raises(MissingDependencyError, match=text):
        set_config(engine="openvino", precision=precision)
    set_config(engine="auto")
    with pytest.raises(MissingDependencyError, match=text):
        set_config(precision="bfloat16")


def test_what_is_for_the_process_is_judged_without_the_context():
    """Else a precision would be left behind by an engine that is not."""
    text = r"Keras runs frozen networks in float32 – pass engine=\"openvino\" or precision="
    with config_context(engine="auto"), pytest.raises(InputError, match=text):
        set_config(precision="bfloat16")
    assert get_config() == KERAS


def test_openvino_that_is_too_old(monkeypatch):
    monkeypatch.setattr("openvino.__version__", "2024.6.0-17404-4c0f47d2335")
    text = r"openvino 2024\.6\.0.* – 2026\.1 or newer is needed – pip install --upgrade .*\[fast\]"
    with pytest.raises(MissingDependencyError, match=text):
        set_config(engine="openvino")


def test_a_processor_without_bfloat16_is_refused(monkeypatch):
    monkeypatch.setattr("openvino.Core", Processor)
    text = r"precision: 'bfloat16' – this processor has no instructions for it – use precision="
    for engine in ("openvino", "auto"):
        with pytest.raises(InputError, match=text):
            set_config(engine=engine, precision="bfloat16")
    with pytest.raises(InputError, match=text):
        _openvino.check_bfloat16()
    assert get_config() == KERAS
