"""OpenVINO: the network compiled for this processor, one image per request, a stream per core.

https://docs.openvino.ai/2026/openvino-workflow/running-inference.html
"""

from __future__ import annotations

import functools
import re
import sys
import tempfile
import warnings
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np

from skinensemble._optional import import_optional
from skinensemble._threads import thread_limit
from skinensemble.exceptions import EngineError, InputError, MissingDependencyError, message

__all__ = ["check_bfloat16", "compile_network", "compile_small", "import_openvino"]

_OLDEST = (2026, 1)
_converting = Lock()


def import_openvino() -> ModuleType:
    """Import OpenVINO.

    Raises
    ------
    MissingDependencyError
        When it is not installed, or too old.
    """
    # Its converter would report to its makers, from a process that it forks; and does without.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    openvino = import_optional("openvino", extra="fast", purpose="fast networks")
    version = tuple(map(int, re.findall(r"\d+", openvino.__version__)[:2]))
    if version < _OLDEST:
        why = f"{'.'.join(map(str, _OLDEST))} or newer is needed"
        remedy = 'pip install --upgrade "skinensemble[fast]"'
        thing = f"openvino {openvino.__version__}"
        raise MissingDependencyError(message("package too old", thing, why, remedy))
    return openvino


def check_bfloat16() -> None:
    """Refuse bfloat16 on a processor that would compute it in some other way.

    Raises
    ------
    InputError
        When the processor has no instructions for it.
    MissingDependencyError
        When OpenVINO is not installed, or too old.
    """
    if not _knows_bfloat16(import_openvino().Core):
        why = "this processor has no instructions for it"
        remedy = 'use precision="float32"'
        raise InputError(message("precision", "'bfloat16'", why, remedy))


@functools.cache
def _knows_bfloat16(core: type) -> bool:
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compile_network(network: Any, name: str, precision: str) -> OpenVINORunner:
    """Convert a network and compile it.

    Raises
    ------
    EngineError
        When OpenVINO cannot run it; the message says what it said.
    InputError
        When this processor cannot do the precision.
    MissingDependencyError
        When OpenVINO is not installed, or too old.
    """
    openvino = import_openvino()
    if precision == "bfloat16":
        check_bfloat16()
    model = getattr(network, "model", network)
    try:
        graph = _convert(openvino, model)
        graph.reshape([1, *network.input_shape[1:]])
        if model is network:
            # Pixels come as they are; what the network does to them first is part of it.
            pixels = openvino.preprocess.PrePostProcessor(graph)
            pixels.input().tensor().set_element_type(openvino.Type.u8)
            graph = pixels.build()
        compiled = openvino.Core().compile_model(graph, "CPU", _options(precision))
    except Exception as error:  # of any kind: there are three converters in it
        first = str(error).strip().split("\n")[0]
        why = f"OpenVINO cannot run it ({type(error).__name__}: {first:.200})"
        remedy = 'use engine="keras"'
        raise EngineError(message("network", name, why, remedy)) from error
    return OpenVINORunner(compiled, getattr(network, "preprocess", None))


def compile_small(model: Any) -> Any:
    """Compile a small model for any number of rows, in float32."""
    openvino = import_openvino()
    graph = _convert(openvino, model)
    graph.reshape([-1, *model.input_shape[1:]])
    return openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def _convert(openvino: ModuleType, model: Any) -> Any:
    """Let Keras export the model, whatever its backend, and read that."""
    # One at a time: which warnings are ignored is a matter of the process.
    with _converting, tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.xml"
        model.export(str(path), format="openvino", verbose=False)
        core = openvino.Core()
        # Mapped weights would outlive the folder.
        core.set_property({"ENABLE_MMAP": False})
        return core.read_model(path)


def _options(precision: str) -> dict[str, Any]:
    # Never left to OpenVINO: where the processor has bfloat16, that is its own choice.
    wanted = {"float32": "f32", "bfloat16": "bf16"}[precision]
    options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": wanted}
    limit = thread_limit()
    return options if limit is None else options | {"INFERENCE_NUM_THREADS": limit}


class OpenVINORunner:
    """A compiled network; each image is a request of its own, several are on their way at once.

    Parameters
    ----------
    compiled : openvino.CompiledModel
        For one image.
    preprocess : callable, optional
        What is done to the images first.
    """

    # Each image is a batch of one.
    alone = True

    def __init__(self, compiled: Any, preprocess: Any = None) -> None:
        self._preprocess = preprocess
        self._shape = tuple(compiled.output(0).shape)[1:]
        self._free: SimpleQueue[Any] = SimpleQueue()
        # One waiting behind each one that runs.
        for _ in range(2 * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")):
            self._free.put(compiled.create_infer_request())

    def __call__(self, images: np.ndarray) -> np.ndarray:
        if self._preprocess is not None:
            images = self._preprocess(images)
        rows = np.empty((len(images), *self._shape), np.float32)
        running: deque[tuple[int, Any]] = deque()
        try:
            for place, image in enumerate(images):
                request = self._next_free(rows, running)
                self._start(request, image)
                running.append((place, request))
        finally:
            # Whatever becomes of one, all are waited for and given back: who misses one hangs.
            with ExitStack() as rest:
                for one in running:
                    rest.callback(self._finish, rows, *one)
        return rows

    def _start(self, request: Any, image: np.ndarray) -> None:
        try:
            request.get_input_tensor().data[0] = image
            request.start_async()
        except BaseException:
            self._free.put(request)
            raise

    def _next_free(self, rows: np.ndarray, running: deque[tuple[int, Any]]) -> Any:
        while running:
            try:
                return self._free.get_nowait()
            except Empty:
                self._finish(rows, *running.popleft())
        return self._free.get()

    def _finish(self, rows: np.ndarray, place: int, request: Any) -> None:
        try:
            request.wait()
            rows[place] = request.get_output_tensor().data[0]
        finally:
            self._free.put(request)
