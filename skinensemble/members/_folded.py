"""A network to train in place of another: its convolutions hold frozen normalisation."""

from __future__ import annotations

import functools
from collections import Counter

from skinensemble.backbones._cuts import _flat, _in_order

__all__ = ["fold_frozen"]


def fold_frozen(model, precision="float32"):
    """Return the same function of the same variables, with less to compute in each step.

    Frozen BatchNormalization multiplies each channel by one constant and adds another. A kernel is
    much smaller than the maps that it makes, so the kernel is multiplied instead, and neither way
    through the network has to pass the normalisation.

    Parameters
    ----------
    model : keras.Model
        Functional. What trains the network returned trains this one: they share all variables.
    precision : {"float32", "bfloat16"}, default="float32"
        Of the products in convolutions, there and back. Weights and all else are float32; so are
        convolutions by channel, which are not faster in bfloat16.

    Returns
    -------
    keras.Model
    """
    import keras

    after = _normalised(model)
    folded = {norm.name for norm in after.values()}

    def clone(layer):
        norm = after.get(layer.name)
        faster = precision != "float32" and type(layer) is keras.layers.Conv2D
        if norm is None and not (faster and layer.data_format == "channels_last"):
            return layer
        return folded_class()(layer, norm, precision)

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in folded else layer(*args, **kwargs)

    return keras.models.clone_model(model, clone_function=clone, call_function=call)


def _normalised(model) -> dict:
    """Return by the names of convolutions the frozen normalisation that alone follows each."""
    import keras

    nodes = _in_order(model)
    uses = Counter(id(tensor) for node in nodes for tensor in _flat(node))
    uses.update(id(tensor) for tensor in model.outputs)
    pairs = {}
    for node in nodes:
        norm = node.operation
        if not isinstance(norm, keras.layers.BatchNormalization) or norm.trainable:
            continue
        (tensor,) = _flat(node)
        conv = tensor._keras_history.operation
        known = type(conv) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        alone = known and uses[id(tensor)] == 1 and conv.activation is keras.activations.linear
        if alone and conv.data_format == "channels_last" and norm.axis in (-1, 3):
            pairs[conv.name] = norm
    return pairs


@functools.cache
def folded_class():
    """Return the class of a convolution with the normalisation that follows it."""
    import keras
    from keras import ops

    class Folded(keras.layers.Layer):
        def __init__(self, conv, norm, precision):
            super().__init__(name=conv.name, dtype=conv.dtype_policy)
            self.conv, self.norm, self.precision = conv, norm, precision
            self.built = True

        def call(self, x):
            kernel, offset = self._constants()
            maps = self._convolve(x, kernel)
            return self.conv.activation(maps if offset is None else maps + offset)

        def _constants(self):
            conv, norm = self.conv, self.norm
            if norm is None:
                return conv.kernel, conv.bias if conv.use_bias else None
            scale = ops.rsqrt(norm.moving_variance + norm.epsilon)
            scale = scale * norm.gamma if norm.scale else scale
            offset = -norm.moving_mean * scale
            offset = offset + norm.beta if norm.center else offset
            offset = offset + conv.bias * scale if conv.use_bias else offset
            by_channel = isinstance(conv, keras.layers.DepthwiseConv2D)
            shape = conv.kernel.shape[2:] if by_channel else scale.shape
            return conv.kernel * ops.reshape(scale, shape), offset

        def _convolve(self, x, kernel):
            conv = self.conv
            if isinstance(conv, keras.layers.DepthwiseConv2D):
                how = conv.strides, conv.padding, conv.data_format, conv.dilation_rate
                return ops.depthwise_conv(x, kernel, *how)
            if self.precision == "float32":
                return conv.convolution_op(x, kernel)
            x, kernel = ops.cast(x, self.precision), ops.cast(kernel, self.precision)
            # TensorFlow is faster at the product that a convolution of single pixels is.
            single = conv.kernel_size == conv.strides == (1, 1) and conv.groups == 1
            maps = ops.tensordot(x, kernel[0, 0], 1) if single else conv.convolution_op(x, kernel)
            return ops.cast(maps, "float32")

    return Folded
