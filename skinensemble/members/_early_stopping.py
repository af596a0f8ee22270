"""Early stopping that goes on where a checkpoint stands."""

from __future__ import annotations

import numpy as np

__all__ = ["early_stopping"]


def early_stopping(patience: int, history: dict, best_weights: list[np.ndarray] | None):
    """Return Keras' early stopping on the validation loss, which restores the best weights.

    Parameters
    ----------
    patience : int
        Epochs without a lower loss.
    history : dict of str to list of float
        Of the epochs before the training was stopped from outside; none where it begins.
    best_weights : list of ndarray or None
        What the model weighed after the best of them.

    Returns
    -------
    keras.callbacks.EarlyStopping
        Its `over` says whether these epochs were the last ones.
    """
    import keras

    losses = history.get("val_loss", [])
    best = int(np.argmin(losses)) if losses else 0
    waited = len(losses) - 1 - best

    class GoingOn(keras.callbacks.EarlyStopping):
        over = bool(losses) and waited >= max(patience, 1)

        def on_train_begin(self, logs=None):
            super().on_train_begin(logs)
            if losses:
                self.best_epoch, self.best, self.wait = best, losses[best], waited
                self.best_weights = best_weights

    return GoingOn("val_loss", patience=patience, restore_best_weights=True)
