"""A tiny cascade and a folder of images, made once for all tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from skinensemble.cli import main
from skinensemble.datasets import make_lesions

BACKBONE = "cli_tiny"


def tiny_network(input_shape):
    """Random convolutions: enough for members that differ from a constant."""
    import keras

    start = keras.initializers.HeNormal(seed=3)
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Conv2D(16, 5, strides=4, activation="relu", kernel_initializer=start),
            keras.layers.Conv2D(32, 3, strides=2, activation="relu", kernel_initializer=start),
        ]
    )


@pytest.fixture(scope="session")
def tiny_backbone() -> str:
    from skinensemble.backbones import register_backbone

    register_backbone(BACKBONE, tiny_network, preprocess="tf", input_size=32, overwrite=True)
    return BACKBONE


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Class folders of 70 synthetic lesions; the lesion is the start of a file's name."""
    root = tmp_path_factory.mktemp("lesions") / "folder"
    lesions = make_lesions(
        70, images_per_lesion=(1, 2), size=32, weights="balanced", random_state=0
    )
    rows = zip(lesions.images, lesions.target, lesions.groups, strict=True)
    for i, (image, label, lesion) in enumerate(rows):
        path = root / label / f"{lesion}_{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return root


@pytest.fixture(scope="session")
def train_args(folder, tiny_backbone) -> list[str]:
    names = ["--backbone", tiny_backbone, "--weights", f"{tiny_backbone}=none"]
    return [
        "train",
        str(folder),
        *["--lesions", r"lesion_\d+", "--folds", "2", "--epochs", "2", "--hold-out", "0.25"],
        *names,
    ]


@pytest.fixture(scope="session")
def model(train_args, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "cascade.h5"
    assert main([*train_args, "--quiet", "--output", str(path)]) == 0
    return path
