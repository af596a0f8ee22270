"""Changes to the file of a finished Keras model: each says something that must not be built."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from codec_edits import REMOVE, Edit, kind, put, spoil

LAMBDA = {"class_name": "__lambda__", "config": {"value": ["code", None, None]}}
CODE = {"class_name": "function", "config": "system", "module": "os", "registered_name": "system"}


def network(path: str, value: object) -> Edit:
    """Set an entry of the only network in the file."""

    def edit(config: dict, arrays: dict) -> None:
        (key,) = config["shared"]
        put(f"shared/{key}/{path}", value)(config, arrays)

    return edit


def layer(name: str, path: str, value: object) -> Edit:
    """Set an entry of the layer of that name or kind."""

    def edit(config: dict, arrays: dict) -> None:
        (only,) = config["shared"].values()
        put(path, value)(find(only["structure"], name), arrays)

    return edit


def find(entry: dict, name: str) -> dict:
    if name in (entry["config"].get("name"), entry["class_name"]):
        return entry
    inner = (find(one, name) for one in entry["config"].get("layers", []))
    return next((one for one in inner if one), {})


def weight(at: int, how: Callable[[np.ndarray], np.ndarray]) -> Edit:
    def edit(config: dict, arrays: dict) -> None:
        name = sorted(arrays)[at]
        arrays[name] = how(arrays[name])

    return edit


def instead(class_name: str, **config: object) -> Edit:
    """Put another layer in the place of the convolution."""

    def edit(whole: dict, arrays: dict) -> None:
        (only,) = whole["shared"].values()
        entry = find(only["structure"], "conv")
        entry["class_name"] = class_name
        entry["config"] = {"name": "conv", **config}

    return edit


# Of a functional model with the layers conv and normal, an operation, and a Sequential with dense.
PRETRAINED: dict[str, Edit] = {
    # Layers that run code, read files or import what they name.
    "Lambda": instead("Lambda", function=LAMBDA),
    "Lambda by its module": instead("keras.layers.Lambda", function=LAMBDA),
    "TFSMLayer": instead("TFSMLayer", filepath="/etc/passwd"),
    "TorchModuleWrapper": instead("TorchModuleWrapper", module="gASV"),
    "JaxLayer": instead("JaxLayer", call_fn=CODE),
    "FlaxLayer": instead("FlaxLayer", module=CODE),
    "StringLookup": instead("StringLookup", vocabulary="/etc/passwd"),
    "IntegerLookup": instead("IntegerLookup", vocabulary="/etc/passwd"),
    "TextVectorization": instead("TextVectorization", vocabulary="/etc/passwd"),
    "Wrapper": instead("Wrapper", layer=LAMBDA),
    "TimeDistributed": instead("TimeDistributed", layer=LAMBDA),
    "HashedCrossing": instead("HashedCrossing", num_bins=3),
    "a class of os": instead("os.system"),
    "a custom class": instead("mine>Layer"),
    "class name a list": instead(["Conv2D"]),
    "class name missing": layer("conv", "class_name", REMOVE),
    "function at the top": network("structure", CODE),
    "lambda at the top": network("structure", LAMBDA),
    "layer at the top": network("structure", {"class_name": "Dense", "config": {"name": "a"}}),
    "structure a list": network("structure", []),
    "structure text": network("structure", "/etc/passwd"),
    "structure missing": network("structure", REMOVE),
    # What Keras would look up, call or import.
    "entry module": layer("conv", "module", "os"),
    "entry registered_name": layer("conv", "registered_name", "os>system"),
    "entry build_config": layer("conv", "build_config", {"input_shape": [None, 8, 8, 3]}),
    "entry compile_config": network("structure/compile_config", {"optimizer": "adam"}),
    "entry shared_object_id": layer("conv", "shared_object_id", 1),
    "activation unknown": layer("conv", "config/activation", "os.system"),
    "activation Lambda": layer("conv", "config/activation", LAMBDA),
    "activation function": layer("conv", "config/activation", CODE),
    "activation a list": layer("conv", "config/activation", ["relu"]),
    "initializer": layer("conv", "config/kernel_initializer", "zeros"),
    "initializer function": layer("conv", "config/kernel_initializer", CODE),
    "regularizer": layer("conv", "config/kernel_regularizer", CODE),
    "constraint": layer("conv", "config/kernel_constraint", LAMBDA),
    "dtype an object": layer("conv", "config/dtype", CODE),
    "dtype quantized": layer("conv", "config/dtype", "int8_from_float32"),
    "quantization": layer("dense", "config/quantization_config", CODE),
    "setting an object": layer("conv", "config/padding", CODE),
    "setting in a list an object": layer("conv", "config/strides", [1, CODE]),
    "setting unknown": layer("conv", "config/filepath", "/etc/passwd"),
    "setting infinite": layer("conv", "config/strides", [2**40, 1]),
    "model with another setting": network("structure/config/custom_objects", "os"),
    "lambda as an argument": layer("ops.Multiply", "inbound_nodes/0/args/1", LAMBDA),
    "function as an argument": layer("ops.Multiply", "inbound_nodes/0/args/1", CODE),
    "typespec as an argument": layer(
        "ops.Multiply", "inbound_nodes/0/args/1", {"class_name": "__typespec__", "config": {}}
    ),
    "layer as an argument": layer(
        "ops.Multiply", "inbound_nodes/0/args/1", {"class_name": "Dense", "config": {"units": 1}}
    ),
    "tensor with more": layer(
        "ops.Multiply",
        "inbound_nodes/0/args/1",
        {"class_name": "__tensor__", "config": {"value": 1}},
    ),
    "calls by name": layer("ops.Multiply", "inbound_nodes", {"call": "os.system"}),
    "a call without arguments": layer("ops.Multiply", "inbound_nodes/0", {"args": []}),
    "arguments text": layer("ops.Multiply", "inbound_nodes/0/args", "os"),
    # Graphs and sizes that cannot be.
    "layer of no name": layer("conv", "config/name", REMOVE),
    "no layers": network("structure/config/layers", []),
    "a layer missing": network("structure/config/layers/2", REMOVE),
    "a circle": layer(
        "conv",
        "inbound_nodes/0/args/0/config/keras_history",
        ["conv", 0, 0],
    ),
    "input of an unknown layer": layer(
        "conv", "inbound_nodes/0/args/0/config/keras_history", ["elsewhere", 0, 0]
    ),
    "output of an unknown layer": network("structure/config/output_layers", ["elsewhere", 0, 0]),
    "units beyond any memory": layer("dense", "config/units", 2**30),
    "filters beyond any memory": layer("conv", "config/filters", 2**30),
    "units a little wider": layer("dense", "config/units", 4),
    "units text": layer("dense", "config/units", "3"),
    "units negative": layer("dense", "config/units", -3),
    "a scale beyond any memory": instead(
        "convnext.LayerScale", init_values=1, projection_dim=2**30
    ),
    "moments of one number": layer("normal", "config/mean", [0.0]),
    "moments a number": layer("normal", "config/mean", 0.0),
    "moments missing": layer("normal", "config/mean", None),
    "moments of another length": layer("normal", "config/variance", [1.0, 1.0]),
    # Weights and the member itself.
    "a weight fewer": network("weights/1", REMOVE),
    "weights a path": network("weights", "/etc/passwd"),
    "a weight elsewhere": network("weights/1", {"array": "https://example.org/w.h5"}),
    "a weight transposed": weight(0, np.transpose),
    "a weight of another type": weight(0, kind("float64")),
    "a weight NaN": weight(0, spoil(np.nan)),
    "two weights swapped": network("weights/0", {"array": "networks/x/0001"}),
    "network unknown": put("root/network", "0" * 64),
    "network a path": put("root/network", "/etc/passwd"),
    "a label fewer": put("root/classes", ["mel", "nv"]),
    "labels of mixed types": put("root/classes", ["bkl", 1, "nv"]),
    "labels text": put("root/classes", "abc"),
    "preprocess unknown": put("root/params/preprocess", "os.system"),
    "preprocess an object": put("root/params/preprocess", CODE),
    "preprocess Lambda": put("root/params/preprocess", {"dict": [["class_name", "Lambda"]]}),
    "image size of another model": put("root/params/image_size", 64),
    "image fit unknown": put("root/params/image_fit", "os.system"),
    "entry model": put("root/model", "/etc/passwd"),
    "entry store": put("root/params/store", "/tmp"),
}
