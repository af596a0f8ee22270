"""A network to train in place of another: frozen normalisation is part of its convolutions."""

from __future__ import annotations

import functools
from collections import Counter

from skinensemble.backbones._cuts import _flat, _in_order

__all__ = ["fold_frozen"]


def fold_frozen(model):
    """Return the same function of the same variables, with less to compute in each step.

    Frozen BatchNormalization multiplies each channel by one constant and adds another. A kernel is
    much smaller than the maps that it makes, so the kernel is multiplied instead, and neither way
    through the network has to pass the normalisation.

    Parameters
    ----------
    model : keras.Model
        Functional. What trains the network returned trains this one: they share all variables.

    Returns
    -------
    keras.Model
    """
    import keras

    after = _normalised(model)
    folded = {norm.name for norm in after.values()}

    def clone(layer):
        norm = after.get(layer.name)
        return layer if norm is None else folded_class()(layer, norm)

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
        if known and uses[id(tensor)] == 1 and conv.activation is keras.activations.linear:
            pairs[conv.name] = norm
    return pairs


@functools.cache
def folded_class():
    """Return the class of a convolution with the normalisation that follows it."""
    import keras
    from keras import ops

    class Folded(keras.layers.Layer):
        def __init__(self, conv, norm):
            super().__init__(name=conv.name, dtype=conv.dtype_policy)
            self.conv, self.norm = conv, norm
            self.built = True

        def call(self, x):
            conv, norm = self.conv, self.norm
            scale = ops.rsqrt(norm.moving_variance + norm.epsilon)
            scale = scale * norm.gamma if norm.scale else scale
            offset = -norm.moving_mean * scale
            offset = offset + norm.beta if norm.center else offset
            if conv.use_bias:
                offset = offset + conv.bias * scale
            return self._convolve(x, scale) + offset

        def _convolve(self, x, scale):
            conv = self.conv
            if isinstance(conv, keras.layers.Conv2D):
                return conv.convolution_op(x, conv.kernel * scale)
            return ops.depthwise_conv(
                x,
                conv.kernel * ops.reshape(scale, conv.kernel.shape[2:]),
                strides=conv.strides,
                padding=conv.padding,
                dilation_rate=conv.dilation_rate,
                data_format=conv.data_format,
            )

    return Folded
