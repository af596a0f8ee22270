from __future__ import annotations

import hashlib
import json
import stat
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from container_files import CONFIG, run_python, sample_arrays, seal, split
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skinensemble.exceptions import ModelFileError
from skinensemble.persistence import container as module
from skinensemble.persistence.container import (
    ArraySpec,
    read_config,
    read_container,
    write_container,
)

DTYPES = [f"float{bits}" for bits in (16, 32, 64)]
DTYPES += [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


def assert_same(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.h5"
    write_container(path, CONFIG, sample_arrays())
    return path


def test_what_is_written_comes_back_equal(saved):
    back = read_container(saved)
    assert back.version == 1
    assert back.config == CONFIG
    assert list(back.specs) == list(sample_arrays())
    for name, array in sample_arrays().items():
        assert_same(back.read(name, shape=np.shape(array), dtype=array.dtype), np.asarray(array))
    assert read_config(saved) == CONFIG
    assert repr(back).startswith(f"<Container '{saved}': 6 arrays")


def test_specs_say_where_the_bytes_are(saved):
    data = saved.read_bytes()
    for name, spec in read_container(saved).specs.items():
        assert isinstance(spec, ArraySpec)
        expected = np.asarray(sample_arrays()[name]).tobytes()
        assert data[spec.offset : spec.offset + spec.nbytes] == expected
        assert spec.offset % 8 == 0


def test_h5py_sees_plain_datasets_with_equal_values(saved):
    with h5py.File(saved) as file:
        assert file.userblock_size >= 512
        found = {}
        file.visititems(lambda name, item: found.update({name: item}))
        datasets = {n: d for n, d in found.items() if isinstance(d, h5py.Dataset)}
        assert set(datasets) == set(sample_arrays())
        assert not any(len(item.attrs) for item in [file, *found.values()])
        for name, dataset in datasets.items():
            assert_same(dataset[()], sample_arrays()[name])
            assert dataset.chunks is None
            assert dataset.compression is None
            assert dataset.id.get_create_plist().get_nfilters() == 0
            assert dataset.id.get_create_plist().get_external_count() == 0
            assert dataset.dtype.byteorder in "=|<"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (0,), (2, 0, 3)])
def test_every_type_and_shape(tmp_path, dtype, shape):
    path = tmp_path / "x.h5"
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    write_container(path, {}, {"x": array})
    assert_same(read_container(path).read("x"), array)
    with h5py.File(path) as file:
        assert_same(file["x"][()], array)


_DTYPE = st.sampled_from(DTYPES).map(np.dtype)
_ANY = hnp.arrays(_DTYPE, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=25)
@given(config=st.dictionaries(st.text(), _JSON, max_size=4), arrays=st.lists(_ANY, max_size=4))
def test_any_plain_content_comes_back_bit_equal(tmp_path_factory, config, arrays):
    path = tmp_path_factory.mktemp("any") / "x.h5"
    named = {f"a/{i}": array for i, array in enumerate(arrays)}
    write_container(path, config, named)
    back = read_container(path)
    assert back.config == config
    assert json.dumps(back.config) == json.dumps(config)
    for name, array in named.items():
        assert_same(back.read(name), array)


def test_memory_order_byte_order_and_booleans(tmp_path):
    path = tmp_path / "x.h5"
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    arrays = {
        "fortran": np.asfortranarray(array),
        "strided": array[:, ::2, ::-1],
        "big": array.astype(">f4"),
        "mask": array > 3,
        "list": [1.5, 2.5],
    }
    write_container(path, {}, arrays)
    back = read_container(path)
    assert_same(back.read("fortran"), array)
    assert_same(back.read("strided"), np.ascontiguousarray(array[:, ::2, ::-1]))
    assert_same(back.read("big", dtype=np.float32), array)
    assert_same(back.read("mask", dtype=np.uint8), (array > 3).astype(np.uint8))
    assert_same(back.read("list"), np.array([1.5, 2.5]))


def test_arrays_read_are_the_callers_own(saved):
    back = read_container(saved)
    first = back.read("net/conv/kernel")
    assert first.flags.writeable and first.flags.c_contiguous and first.flags.aligned
    first[:] = 0
    assert_same(back.read("net/conv/kernel"), sample_arrays()["net/conv/kernel"])


def test_the_user_block_grows_with_the_index(tmp_path):
    path = tmp_path / "x.h5"
    for size in (0, 300, 5_000, 300_000):
        config = {"digests": "x" * size, "classes": ["é"] * (size // 100)}
        write_container(path, config, {"a/b": np.arange(3), "c": np.ones(2)})
        with h5py.File(path) as file:
            block = file.userblock_size
            assert file["a/b"][:].tolist() == [0, 1, 2]
        assert size < block < 512 + 8 * max(size, 100)
        assert read_config(path) == config


def test_many_arrays_in_many_groups(tmp_path):
    path = tmp_path / "x.h5"
    arrays = {f"net {i % 7}/layer{i}/w": np.full((i % 5, 3), i, np.int16) for i in range(400)}
    write_container(path, {}, arrays)
    back = read_container(path)
    with h5py.File(path) as file:
        for name, array in arrays.items():
            assert_same(back.read(name), array)
            assert_same(file[name][()], array)


def test_no_arrays_and_no_configuration(tmp_path):
    path = tmp_path / "x.h5"
    write_container(path, {}, {})
    back = read_container(path)
    assert (back.config, back.specs) == ({}, {})
    with h5py.File(path) as file:
        assert list(file) == []


def test_two_saves_are_byte_identical(saved, tmp_path):
    script = (
        "import sys, time; time.sleep(1.1)\n"  # HDF5 counts times in whole seconds
        "from container_files import CONFIG, sample_arrays\n"
        "from skinensemble.persistence.container import write_container\n"
        "print(write_container(sys.argv[1], CONFIG, sample_arrays()))\n"
    )
    path = tmp_path / "again.h5"
    run = run_python("-c", script, str(path))
    assert path.read_bytes() == saved.read_bytes()
    assert run.strip() == read_container(saved).sha256


def test_sha256_is_that_of_the_file(tmp_path):
    path = tmp_path / "x.h5"
    digest = write_container(path, CONFIG, sample_arrays())
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_container(path).sha256 == digest
    assert read_container(path, sha256=f" {digest.upper()}\n").config == CONFIG
    assert read_config(path, sha256=digest) == CONFIG


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04.", b"PK\x03\x04"])
def test_sha256_is_compared_before_anything_is_parsed(saved, monkeypatch, content):
    if content is not None:
        saved.write_bytes(content)
    for name in ("check_header", "parse_index", "_check_digest"):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("parsed"))
    actual = hashlib.sha256(saved.read_bytes()).hexdigest()
    text = rf"cannot load: .*model\.h5 – its SHA-256 is {actual}, not 0{{64}} – do not use it"
    with pytest.raises(ModelFileError, match=text):
        read_container(saved, sha256="0" * 64)


@pytest.mark.parametrize("given", ["", "abc", "0" * 63, "g" * 64, b"0" * 64, 5])
def test_sha256_that_is_none(saved, given):
    with pytest.raises(ModelFileError, match=r"model\.h5 – sha256=.* is not 64 hex digits – give"):
        read_container(saved, sha256=given)


@pytest.mark.parametrize(
    ("name", "expected", "text"),
    [
        ("net/conv/weights", {}, r"there is no such array \(there are 'net/conv/kernel'.* 1 more"),
        ("net/conv", {}, "there is no such array"),
        ("net/conv/bias", {"shape": (64, 1)}, r"its shape is \(64,\), not \(64, 1\)"),
        ("net/dense/kernel", {"shape": (7, 64)}, r"its shape is \(64, 7\), not \(7, 64\)"),
        ("net/conv/bias", {"dtype": np.float32}, "its type is float16, not float32"),
        ("threshold", {"shape": (1,)}, r"its shape is \(\), not \(1,\)"),
    ],
)
def test_read_refuses_what_the_caller_does_not_expect(saved, name, expected, text):
    with pytest.raises(ModelFileError, match=rf"model\.h5: array '{name}' – {text}.* – the file"):
        read_container(saved).read(name, **expected)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"x": float("nan")}, "not plain JSON"),
        ({"x": [float("inf")]}, "not plain JSON"),
        ({"x": {1, 2}}, "not plain JSON"),
        ({"x": np.arange(3)}, "not plain JSON"),
        ({"x": "\ud800"}, "not plain JSON"),
        ({"x": (1, 2)}, "would not come back equal"),
        ({1: "x"}, "would not come back equal"),
        ({1: "x", "1": "y"}, "keys given more than once: '1'"),
        ({"x": 10**50}, "whole number has 51 digits"),
        ({"x": "é" * 2**23}, "16,777,216 are allowed"),
    ],
)
def test_configurations_that_cannot_be_stored(tmp_path, config, text):
    with pytest.raises(ModelFileError, match=rf"cannot save: .*x\.h5 – .*{text}"):
        write_container(tmp_path / "x.h5", config, {})
    assert list(tmp_path.iterdir()) == []


def nested(depth: int) -> dict:
    config: dict = {}
    for _ in range(depth - 1):
        config = {"x": config}
    return config


def test_configurations_nested_deep(tmp_path):
    path = tmp_path / "x.h5"
    write_container(path, nested(63), {})
    assert read_config(path) == nested(63)
    for depth in (64, 100_000):
        with pytest.raises(ModelFileError, match=r"nested deeper|recursion"):
            write_container(path, nested(depth), {})


def test_arrays_that_cannot_be_stored_are_listed_at_once(tmp_path):
    arrays = {
        "text": np.array(["a"]),
        "object": np.array([None]),
        "time": np.array([0], "M8[s]"),
        "/absolute": np.ones(1),
        "complex": np.ones(1, complex),
    }
    with pytest.raises(ModelFileError) as raised:
        write_container(tmp_path / "x.h5", {}, arrays)
    for part in ("'/absolute' is no name", "'text' has the type <U1", "'time'", "'complex'"):
        assert part in str(raised.value)
    for name in ("", "a//b", "a/", "../a", "a/./b", "é", "a\n", " a", "x" * 1001):
        with pytest.raises(ModelFileError, match="is no name"):
            write_container(tmp_path / "x.h5", {}, {name: np.ones(1)})
    with pytest.raises(ModelFileError, match="'a' is both an array and a group"):
        write_container(tmp_path / "x.h5", {}, {"a": np.ones(1), "a/b": np.ones(1)})
    assert list(tmp_path.iterdir()) == []


def test_a_newer_format_says_what_to_install(saved):
    index, body, block = split(saved.read_bytes())
    text = json.dumps({**index, "format_version": 2}).encode()
    saved.write_bytes(seal(text, body, block=block, version=2, release=b"0.7.1"))
    why = r"format version 2; this library reads up to 1 – upgrade to skinensemble ≥ 0\.7\.1"
    with pytest.raises(ModelFileError, match=rf"model\.h5 – {why}"):
        read_container(saved)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"version": 0}, "there never was a format version 0 – copy it again"),
        ({"version": 2**31}, "not believable – copy it again"),
        ({"version": 2, "release": b"\xff\x00\xff"}, "not believable – copy it again"),
    ],
)
def test_format_versions_that_never_were(saved, fields, text):
    index, body, block = split(saved.read_bytes())
    saved.write_bytes(seal(json.dumps(index).encode(), body, block=block, **fields))
    with pytest.raises(ModelFileError, match=text):
        read_container(saved)


def test_any_path_and_working_folder(tmp_path, monkeypatch):
    folder = tmp_path / "Läsionen 皮膚 'x'"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for path in ("a b é.h5", Path("p.h5"), b"bytes.h5", "n" * 250 + ".h5"):
        write_container(path, CONFIG, {"x": np.arange(3)})
        assert read_container(path).read("x").tolist() == [0, 1, 2]
    monkeypatch.chdir("/")
    assert read_container(folder / "a b é.h5").config == CONFIG


def test_a_file_that_may_only_be_read(saved):
    saved.chmod(0o400)
    saved.parent.chmod(0o500)
    try:
        assert read_container(saved).config == CONFIG
    finally:
        saved.parent.chmod(0o700)


def test_threads_read_and_write_at_once(saved):
    failures = []

    def work(number: int) -> None:
        try:
            for _ in range(5):
                assert read_container(saved).read("digests").shape == (60, 16)
                write_container(saved.with_name(f"{number}.h5"), CONFIG, sample_arrays())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert len({saved.with_name(f"{n}.h5").read_bytes() for n in range(4)}) == 1


def test_links_are_followed_and_permissions_kept(saved):
    saved.chmod(0o640)
    link = saved.with_name("link.h5")
    link.symlink_to(saved.name)
    write_container(link, {"new": True}, {})
    assert link.is_symlink()
    assert read_config(saved) == {"new": True}
    assert stat.S_IMODE(saved.stat().st_mode) == 0o640


def test_importing_and_reading_stay_light(saved):
    script = (
        "import sys\n"
        "from skinensemble.persistence.container import read_container\n"
        "read_container(sys.argv[1]).read('net/conv/kernel')\n"
        "print([m for m in ('h5py', 'keras', 'tensorflow', 'sklearn', 'PIL') if m in sys.modules])"
    )
    assert run_python("-c", script, str(saved)).strip() == "[]"
