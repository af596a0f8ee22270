"""Optimizers of heads and of fine-tuned networks; made late, for Keras loads slowly.

Their steps are meant for one device. On TensorFlow, Keras would hand each step to
``tf.distribute``, which keeps the network, with all that it reads from, for as long as the process
lives.
"""

from __future__ import annotations

import functools

__all__ = ["discriminative_adamw_class", "penalised_adam_class"]


def _update(optimizer, gradients, variables, learning_rate) -> None:
    for gradient, variable in zip(gradients, variables, strict=True):
        optimizer.update_step(gradient, variable, learning_rate)


def _decay(optimizer, variables) -> None:
    from keras import ops

    if optimizer.weight_decay:
        rate = optimizer.learning_rate  # a schedule works it out each time it is asked
        for variable in filter(optimizer._use_weight_decay, variables):
            own = ops.cast(rate, variable.dtype) * optimizer.rate_of(variable)
            optimizer.assign_sub(variable, variable * optimizer.weight_decay * own)


@functools.cache
def penalised_adam_class():
    """Return the class of the optimizer of heads: Adam with an L2 penalty on kernels."""
    import keras

    class PenalisedAdam(keras.optimizers.Adam):
        """Adam that adds the gradient of the penalty itself: as a loss it would cost twice."""

        _backend_update_step, _apply_weight_decay = _update, _decay

        def __init__(self, learning_rate, l2):
            super().__init__(learning_rate)
            self.l2 = l2

        def update_step(self, gradient, variable, learning_rate):
            if self.l2 and len(variable.shape) == 3:
                gradient = gradient + 2 * self.l2 * variable
            super().update_step(gradient, variable, learning_rate)

    return PenalisedAdam


@functools.cache
def discriminative_adamw_class():
    """Return the class of the optimizer of fine-tuning: AdamW with a learning rate per weight."""
    import keras
    from keras import ops

    class DiscriminativeAdamW(keras.optimizers.AdamW):
        """AdamW that multiplies the learning rate of each variable by a factor of its own.

        Each begins to learn at a step of its own, too.
        """

        _backend_update_step, _apply_weight_decay = _update, _decay

        def __init__(self, rates, starts=None, **options):
            super().__init__(**options)
            self.rates, self.starts = rates, starts or [0] * len(rates)

        def rate_of(self, variable):
            place = self._get_variable_index(variable)
            rate, start = self.rates[place], self.starts[place]
            return ops.where(self.iterations < start, 0.0, rate) if start else rate

        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate * self.rate_of(variable))

    return DiscriminativeAdamW
