"""Memory that takes room only where it was written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from lacuna_inference.models import pages

_SIZE, _REGIONS, _PAGE = 2**28, 64, 2**12


def resident() -> int:
    """Bytes of this process's memory that are in use, of its own."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_what_is_not_written_takes_no_memory() -> None:
    """A KV cache has a region for each layer and head, of which the first tokens are written."""
    before = resident()
    memory = pages.untouched(_SIZE)
    assert int(memory[:: _SIZE // 16].sum()) == 0
    memory.view(_REGIONS, -1)[:, : 4 * _PAGE] = 1
    assert resident() - before < _REGIONS * 16 * _PAGE + 2**22  # some more, because Python works meanwhile
    assert int(memory.sum(dtype=torch.int64)) == _REGIONS * 4 * _PAGE


def test_both_kinds_are_zeros() -> None:
    for memory in (pages.untouched(100), pages.zeros(100), pages.zeros(2**23)):
        assert memory.dtype is torch.uint8
        assert not memory.any()
        memory.fill_(1)
