"""How far a training is: a line after an epoch, but not several in a moment."""

from __future__ import annotations

import time

__all__ = ["epoch_lines"]

_LINE_EVERY = 15.0


def epoch_lines(name: str):
    """Return the Keras callback that says after an epoch how the loss stands and what is left."""
    import keras

    class EpochLines(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.start = self.said = time.monotonic()
            self.n_done = 0  # here, and not before the training was stopped

        def on_epoch_end(self, epoch, logs=None):
            now, epochs = time.monotonic(), self.params["epochs"]
            self.n_done += 1
            to_come = epochs - epoch - 1
            if to_come and now - self.said < _LINE_EVERY:
                return
            self.said, taken = now, now - self.start
            loss = f"loss {logs['loss']:.3f}"
            if "val_loss" in logs:
                loss += f" (validation {logs['val_loss']:.3f})"
            clock = f"{taken / self.n_done * to_come:.0f} s left" if to_come else f"{taken:.0f} s"
            print(f"{name}: epoch {epoch + 1} of {epochs}, {loss}, {clock}", flush=True)

    return EpochLines()
