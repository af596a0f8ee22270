"""How far a training is: a line now and then, and one when it has ended."""

from __future__ import annotations

import time

__all__ = ["epoch_lines"]

_LINE_EVERY = 15.0


def epoch_lines(name: str):
    """Return the Keras callback that says how the loss stands and how long it will take."""
    import keras

    class EpochLines(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.start = self.said = time.monotonic()
            self.n_done, self.loss = 0, ""  # here, and not before the training was stopped

        def on_epoch_end(self, epoch, logs=None):
            now, epochs = time.monotonic(), self.params["epochs"]
            self.n_done += 1
            self.loss = f"loss {logs['loss']:.3f}"
            if "val_loss" in logs:
                self.loss += f" (validation {logs['val_loss']:.3f})"
            if now - self.said >= _LINE_EVERY:
                self.said = now
                left = (now - self.start) / self.n_done * (epochs - epoch - 1)
                where = f"epoch {epoch + 1} of {epochs}"
                print(f"{name}: {where}, {self.loss}, {left:.0f} s left", flush=True)

        def on_train_end(self, logs=None):
            if self.n_done:
                taken = time.monotonic() - self.start
                print(f"{name}: {self.n_done} epochs in {taken:.0f} s, {self.loss}", flush=True)

    return EpochLines()
