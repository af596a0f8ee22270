"""Image files made on the spot."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def lesion() -> np.ndarray:
    """A smooth blob, 48 × 64, different in every corner and channel."""
    y, x = np.mgrid[:48, :64]
    blob = np.exp(-(((x - 36) / 14) ** 2 + ((y - 20) / 10) ** 2))
    channels = [150 + x - 90 * blob, 120 + y - 60 * blob, 140 + (x + y) / 2 - 110 * blob]
    return np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Save an image or bytes under a name in a fresh folder, and return the path."""

    def save_(name: str, image: Image.Image | np.ndarray | bytes, **options: object) -> Path:
        path = tmp_path / name
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image)
        if isinstance(image, Image.Image):
            image.save(path, **options)
        else:
            path.write_bytes(image)
        return path

    return save_


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encode an array in a format."""

    def encode_(array: np.ndarray, kind: str, **options: object) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, kind, **options)
        return buffer.getvalue()

    return encode_
