"""What TensorFlow alone has, or lacks, where heads are trained on it."""

from __future__ import annotations

__all__ = ["adam_step", "peek", "replace", "resizable"]


def adam_step(adam, gradient, variable, learning_rate) -> None:
    """Do the step of Keras' Adam in one operation, which passes over memory once.

    Parameters
    ----------
    adam : keras.optimizers.Adam
        Built, without AMSGrad.
    gradient, variable, learning_rate
        As in its ``update_step``.
    """
    import tensorflow as tf

    at = adam._get_variable_index(variable)
    t = tf.cast(adam.iterations + 1, variable.dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=adam._momentums[at].value.handle,
        v=adam._velocities[at].value.handle,
        beta1_power=tf.pow(adam.beta_1, t),
        beta2_power=tf.pow(adam.beta_2, t),
        lr=learning_rate,
        beta1=adam.beta_1,
        beta2=adam.beta_2,
        epsilon=adam.epsilon,
        grad=gradient,
    )


def peek(variable):
    """Return the values of a variable as an array to read from, without copying them."""
    import numpy as np
    import tensorflow as tf

    held = variable.value
    read = tf.raw_ops.ReadVariableOp(resource=held.handle, dtype=held.dtype)
    return np.asarray(memoryview(read))


def resizable(variable):
    """Let the first axis of a variable have any length, for graphs that are traced from here on."""
    import tensorflow as tf

    shape = (None, *variable.shape[1:])
    variable._value = tf.Variable(variable.value, trainable=False, shape=shape)


def replace(variable, values) -> None:
    """Give a resizable variable other values; none of them where it is to let go of its own.

    TensorFlow keeps every variable that a network was trained with, also when the network is gone.
    """
    variable.value.assign(values)
