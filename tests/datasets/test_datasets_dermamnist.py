"""DermaMNIST: its splits, its labels, and files that only look like it."""

from __future__ import annotations

import io
import warnings
import zipfile

import numpy as np
import pytest

from skinensemble.datasets import load_dermamnist
from skinensemble.exceptions import DatasetError, InputError, UngroupedWarning

SIZES = {"train": 14, "val": 7, "test": 7}


def arrays(size=28):
    rng = np.random.default_rng(0)
    made = {}
    for split, n in SIZES.items():
        made[f"{split}_images"] = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
        made[f"{split}_labels"] = np.arange(n, dtype=np.uint8)[:, None] % 7
    return made


@pytest.fixture
def derma(tmp_path):
    np.savez_compressed(tmp_path / "dermamnist.npz", **arrays())
    return tmp_path / "dermamnist.npz"


@pytest.mark.parametrize("split", [*SIZES, "all"])
def test_splits_and_codes(derma, split):
    with pytest.warns(UngroupedWarning, match="its published split shares lesions") as caught:
        bunch = load_dermamnist(derma, split)
    assert caught[0].filename == __file__
    parts = SIZES if split == "all" else [split]
    expected = np.concatenate([arrays()[f"{part}_images"] for part in parts])
    assert bunch.images.dtype == np.uint8
    assert np.array_equal(bunch.images, expected)
    assert bunch.target[:7].tolist() == ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
    assert bunch.groups is None
    assert bunch.frame["split"].tolist() == [p for p in parts for _ in range(SIZES[p])]
    assert bunch.images.flags.writeable


def test_the_case_of_the_ending_says_nothing(derma):
    with pytest.warns(UserWarning, match="shares lesions"):
        assert len(load_dermamnist(derma.rename(derma.with_name("X.NPZ"))).images) == 14


@pytest.mark.parametrize("size", [28, 64, 224])
def test_a_folder_and_a_size(tmp_path, size):
    for side in (28, 64, 224):
        name = "dermamnist.npz" if side == 28 else f"dermamnist_{side}.npz"
        np.savez(tmp_path / name, **arrays(side))
    with pytest.warns(UngroupedWarning):
        images, target = load_dermamnist(tmp_path, "val", size=size, return_X_y=True)
    assert images.shape == (7, size, size, 3)
    assert target.shape == (7,)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"train_labels": np.full((14, 1), 7, np.uint8)}, "above 6 in 14 rows: 0, 1"),
        ({"train_labels": np.zeros((13, 1), np.uint8)}, "14 train_images and 13 train_labels"),
        ({"train_images": np.zeros((14, 28, 28), np.uint8)}, r"shape \(14, 28, 28\) instead"),
        ({"train_images": np.zeros((14, 28, 28, 3))}, "dtype float64"),
        ({"train_images": np.array([{}], dtype=object)}, "dtype object"),
    ],
)
def test_arrays_that_are_not_dermamnist(tmp_path, change, text):
    np.savez(tmp_path / "dermamnist.npz", **(arrays() | change))
    with pytest.raises(DatasetError, match=text) as caught:
        load_dermamnist(tmp_path)
    assert str(tmp_path / "dermamnist.npz") in str(caught.value)


def test_files_that_are_not_dermamnist(tmp_path):
    with pytest.raises(DatasetError, match=r"there is no such file – .* download=True"):
        load_dermamnist(tmp_path)
    (tmp_path / "dermamnist.npz").write_bytes(b"<html>busy</html>")
    with pytest.raises(DatasetError, match=r"it is damaged, or no .npz file"):
        load_dermamnist(tmp_path)
    np.savez(tmp_path / "dermamnist.npz", x=np.zeros(3))
    with pytest.raises(DatasetError, match=r"it has no train_images, only x\.npy"):
        load_dermamnist(tmp_path)


def test_a_header_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    header = io.BytesIO()
    spec = {"descr": "|u1", "fortran_order": False, "shape": (2**40, 28, 28, 3)}
    np.lib.format.write_array_header_1_0(header, spec)
    with zipfile.ZipFile(tmp_path / "dermamnist.npz", "w") as archive:
        archive.writestr("train_images.npy", header.getvalue())
    with pytest.raises(DatasetError, match="shape"):
        load_dermamnist(tmp_path)


def test_damaged_files_give_an_error_or_the_arrays(derma):
    data = derma.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for i in range(200):
        mutant = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            mutant[at] ^= 1 << int(rng.integers(8))
        derma.write_bytes(mutant[: int(rng.integers(1, len(data)))] if i % 4 == 0 else mutant)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UngroupedWarning)
                bunch = load_dermamnist(derma, "all")
        except DatasetError as error:
            assert str(derma) in str(error)
            refused += 1
        else:
            assert np.array_equal(bunch.images[:14], arrays()["train_images"])
    assert refused > 150


@pytest.mark.parametrize(("name", "value"), [("split", "valid"), ("size", 32)])
def test_parameters_that_make_no_sense(derma, name, value):
    with pytest.raises(InputError, match=f"{name}: '?{value}'? – "):
        load_dermamnist(derma, **{name: value})


def test_a_file_that_is_packed_further_than_images_can_be(tmp_path):
    made = arrays() | {"test_images": np.zeros((7_000, 28, 28, 3), np.uint8)}
    np.savez_compressed(tmp_path / "dermamnist.npz", **made)
    with pytest.raises(DatasetError, match="packed more than images can be"):
        load_dermamnist(tmp_path / "dermamnist.npz", "test")


def test_an_encrypted_file_is_told(derma):
    data = bytearray(derma.read_bytes())
    for start, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(start)
        while place >= 0:
            data[place + at] |= 1
            place = data.find(start, place + 1)
    derma.write_bytes(data)
    with pytest.raises(DatasetError, match=r"it is damaged, or no .npz file .*encrypted"):
        load_dermamnist(derma, "test")
