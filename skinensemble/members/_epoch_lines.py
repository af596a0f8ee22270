"""How far a training is: a line now and then, and one when it has ended."""

from __future__ import annotations

import time

from skinensemble.features._progress import LINE_EVERY

__all__ = ["epoch_lines", "say_finished"]


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
            self.loss = _loss(logs)
            if now - self.said >= LINE_EVERY:
                self.said = now
                left = (now - self.start) / self.n_done * (epochs - epoch - 1)
                where = f"epoch {epoch + 1} of {epochs}"
                print(f"{name}: {where}, {self.loss}, {left:.0f} s left", flush=True)

        def on_train_end(self, logs=None):
            if self.n_done:
                taken = time.monotonic() - self.start
                print(f"{name}: {self.n_done} epochs in {taken:.0f} s, {self.loss}", flush=True)

    return EpochLines()


def say_finished(name: str, history: dict[str, list[float]]) -> None:
    """Say that a training was finished by an earlier run, and how."""
    last = {key: values[-1] for key, values in history.items()}
    print(f"{name}: finished before, {len(history['loss'])} epochs, {_loss(last)}", flush=True)


def _loss(logs: dict[str, float]) -> str:
    validation = f" (validation {logs['val_loss']:.3f})" if "val_loss" in logs else ""
    return f"loss {logs['loss']:.3f}{validation}"
