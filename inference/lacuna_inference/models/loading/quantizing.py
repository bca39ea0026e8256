"""Quantizes layers while a model is read: the next is read while the last ones are packed.

Torch spreads even small operations over all cores and waits for the slowest. Where another program keeps a core busy,
that takes many times longer. So each thread works alone here.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch
from torch import Tensor

from lacuna_inference.models.forward import quantized
from lacuna_inference.models.forward.linear import Kernel, Linear
from lacuna_inference.models.loading.memory import return_freed
from lacuna_inference.models.matrix import Matrix
from lacuna_inference.models.packed_weights import PackedWeights

_SAMPLE = (64, 64)
_MAX_FREED = 2**27
"""Bytes of weights in fp32 that were read and freed, after which their memory is returned to the system."""


class Quantizer:
    """Makes layers for `kernel`. They can be used after the context was left."""

    def __init__(self, kernel: Kernel, packed: PackedWeights | None = None) -> None:
        """With `packed`, `kernel` is `int8`, whose packed weights are in that file's regions."""
        self._kernel, self._packed, self._threads, self._freed = kernel, packed, torch.get_num_threads(), 0
        self._pool = ThreadPoolExecutor(self._threads, "lacuna-load", torch.set_num_threads, (1,))
        self._unfinished: deque[Future[None]] = deque()

    def __enter__(self) -> Quantizer:
        self._kernel(torch.ones(_SAMPLE), None)  # what is measured first is measured with all threads
        torch.set_num_threads(1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._wait(0)
        finally:
            self._pool.shutdown(cancel_futures=True)
            torch.set_num_threads(self._threads)

    def layer(self, weight: Matrix, bias: Tensor | None) -> Linear:
        """The layer of `weight` [out, in], which may be read from a file in parts. Raises what packing one raised."""
        self._wait(self._threads)  # layers that wait take memory
        layer, kernel = Linear(weight, bias), self._kernel
        if self._packed is not None:
            kernel = quantized.int8_in(self._packed, weight)
        self._unfinished.append(self._pool.submit(layer.set_kernels, kernel, kernel))
        self._freed += weight.nbytes
        if self._freed > _MAX_FREED:
            return_freed()
            self._freed = 0
        return layer

    def _wait(self, most: int) -> None:
        """Until at most `most` layers are unfinished."""
        while len(self._unfinished) > most:
            self._unfinished.popleft().result()
