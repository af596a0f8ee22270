"""Training the part of a network above a cut, on activations that were computed once."""

from __future__ import annotations

import contextlib
import copy

import numpy as np

from skinensemble.engines import get_config
from skinensemble.members._checkpoint import Checkpoint
from skinensemble.members._early_stopping import early_stopping
from skinensemble.members._epoch_lines import epoch_lines, say_finished
from skinensemble.members._folded import fold_frozen
from skinensemble.members._in_time import stop_in_time
from skinensemble.members._lesson import Lesson, batches_class
from skinensemble.members._network import build_head, build_metrics
from skinensemble.members._optimizers import discriminative_adamw_class

__all__ = ["build_top", "train_top"]

_SMALLEST = 1e-7


def build_top(upper, params, n_classes: int, seed: int, weights=None):
    """Return the network above a cut with a new head: activations to probabilities.

    BatchNormalization stays as it was: on small batches of one clinic
    its statistics would be worse than those of ImageNet.

    Parameters
    ----------
    upper : keras.Model
        From activations to feature maps.
    params : object
        With the attributes of a head: `units`, `dropout`, …, and `pooling`.
    n_classes, seed : int
    weights : list of ndarray, default=None
        To begin with, for the layers of `upper`; None where all will be set.

    Returns
    -------
    keras.Model
    """
    import keras

    own = keras.models.clone_model(upper)
    if weights is not None:
        own.set_weights(weights)
    for layer in own.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    pools = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
    pooled = pools[params.pooling](name="pooled")(own.outputs[0])
    head = build_head(params, pooled.shape[-1], n_classes, seed)
    return keras.Model(own.inputs[0], head(pooled), name=upper.name)


def train_top(
    model, lesson: Lesson, params, seed: int, *, name: str, validation, checkpoint: Checkpoint
):
    """Train the network, in place; go on where a checkpoint stands, and keep one each epoch.

    Parameters
    ----------
    model : keras.Model
        From :func:`build_top`.
    lesson : Lesson
    params : object
        With the attributes of a :class:`TransferClassifier`, none of them "auto".
    seed : int
        Of the order, the views, mixup and dropout.
    name : str
        What to call the training where it says how it gets on.
    validation : Lesson or None
        For early stopping.
    checkpoint : Checkpoint
        Of this training.

    Returns
    -------
    dict of str to list of float
        Training history.

    Raises
    ------
    TimeLimitError
        When the time of whoever trains it is over.
    """
    model = _compiled(model, lesson, params)
    history = checkpoint.restore(model)
    if checkpoint.done:
        if params.verbose:
            say_finished(name, history)
        return history
    if checkpoint.epoch and params.verbose:
        print(f"{name}: goes on after epoch {checkpoint.epoch} of {params.epochs}", flush=True)
    stopping = validation and early_stopping(params.patience, history, checkpoint.best)
    callbacks = _callbacks(params, name, stopping, checkpoint.callback(history, stopping))
    with (
        contextlib.closing(_batches(lesson, params, seed, checkpoint.epoch)) as batches,
        contextlib.closing(_batches(validation or lesson, params, None, 0)) as others,
    ):
        model.fit(
            batches,
            epochs=checkpoint.epoch if stopping and stopping.over else params.epochs,
            initial_epoch=checkpoint.epoch,
            validation_data=others if validation else None,
            callbacks=callbacks,
            shuffle=False,
            verbose=max(params.verbose - 1, 0),
        )
    checkpoint.finish(model, history)
    return history


def _compiled(model, lesson: Lesson, params):
    model = fold_frozen(model, get_config()["precision"])
    n_classes = model.output_shape[-1]
    model.compile(
        _optimizer(model, params, -(-len(lesson.rows) // params.batch_size)),
        _loss(params, np.bincount(lesson.y, minlength=n_classes)),
        weighted_metrics=["accuracy"],
    )
    model.optimizer.build(model.trainable_variables)
    build_metrics(model, *np.zeros((2, 1, n_classes), np.float32))
    return model


def _callbacks(params, name: str, *own) -> list:
    """Return the user's callbacks, and then ours."""
    import keras

    callbacks = [*copy.deepcopy(params.callbacks or []), keras.callbacks.TerminateOnNaN()]
    callbacks += [*filter(None, own), *stop_in_time()]
    return [*callbacks, epoch_lines(name)] if params.verbose == 1 else callbacks


def _batches(lesson: Lesson, params, seed: int | None, epoch: int):
    return batches_class()(lesson, params, seed, epoch)


def _optimizer(model, params, n_batches: int):
    import keras

    steps, warm = params.epochs * n_batches, round(params.warmup * n_batches)
    rate = keras.optimizers.schedules.CosineDecay(
        params.learning_rate / 100 if warm else params.learning_rate,
        max(steps - warm, 1),
        warmup_target=params.learning_rate if warm else None,
        warmup_steps=warm,
    )
    *body, head = [len(layer.trainable_variables) for layer in _trained(model)]
    optimizer = discriminative_adamw_class()(
        _rates(model, params.layer_decay),
        starts=[round(params.head_warmup * n_batches)] * sum(body) + [0] * head,
        learning_rate=rate,
        weight_decay=params.weight_decay,
        use_ema=params.ema is not None,
        ema_momentum=params.ema or 0.99,
        # Beyond any number of steps: the averages replace the weights once, at the end.
        ema_overwrite_frequency=None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _rates(model, decay: float) -> list[float]:
    """Return for each weight by how much slower it learns than the head: deeper, slower."""
    trained = _trained(model)
    deepest = max(len(trained) - 1, 1)
    return [
        decay ** (1 - place / deepest)
        for place, layer in enumerate(trained)
        for _ in layer.trainable_variables
    ]


def _trained(model) -> list:
    """Return the layers that are trained, from the deepest to the head."""
    return [layer for layer in model.layers if layer.trainable_variables]


def _loss(params, counts: np.ndarray):
    import keras
    from keras import ops

    smoothing = params.label_smoothing
    if params.loss == "focal":
        return keras.losses.CategoricalFocalCrossentropy(alpha=1.0, label_smoothing=smoothing)
    plain = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    if params.loss == "cross_entropy":
        return plain
    prior = ops.convert_to_tensor(np.maximum(counts, 1) / counts.sum(), "float32")

    def adjusted(y_true, y_pred):
        expected = ops.maximum(y_pred, _SMALLEST) * prior
        expected /= ops.sum(expected, axis=-1, keepdims=True)
        return ops.categorical_crossentropy(
            y_true * (1 - smoothing) + smoothing / len(counts), expected
        )

    return adjusted
