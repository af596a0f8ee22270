"""Adam for a stack of heads, whose steps are mostly memory: it touches that as little as it can."""

from __future__ import annotations

import functools

__all__ = ["stack_adam_class"]


@functools.cache
def stack_adam_class():
    """Return the class of the optimizer."""
    import keras

    class StackAdam(keras.optimizers.Adam):
        """Keras' Adam in one operation where the backend has it, and an L2 penalty on kernels.

        The penalty is added to the gradient: as a part of the loss it takes twice as long.
        """

        def __init__(self, learning_rate, l2):
            super().__init__(learning_rate)
            self.l2 = l2

        def update_step(self, gradient, variable, learning_rate):
            if self.l2 and len(variable.shape) == 3:
                gradient = gradient + 2 * self.l2 * variable
            if keras.backend.backend() == "tensorflow":
                self._in_one(gradient, variable, learning_rate)
            else:
                super().update_step(gradient, variable, learning_rate)

        def _in_one(self, gradient, variable, learning_rate):
            import tensorflow as tf

            at = self._get_variable_index(variable)
            t = tf.cast(self.iterations + 1, variable.dtype)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self._momentums[at].value.handle,
                v=self._velocities[at].value.handle,
                beta1_power=tf.pow(self.beta_1, t),
                beta2_power=tf.pow(self.beta_2, t),
                lr=learning_rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=gradient,
            )

    return StackAdam
