"""Headers of GGUF files: what whole ones hold, and that wild ones cost neither time nor memory."""

from __future__ import annotations

import struct
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from small_gguf import TOKENS, write_gguf

from lacuna_inference.errors import ModelUnusable
from lacuna_inference.models.gguf.header import GgufFile, read_gguf, read_start

HUGE = [2**63 - 1, 2**64 - 1, 2**32, 2**31 - 1, 2**40]
_STRING, _ARRAY = 8, 9


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tensors = {"token_embd.weight": (6, 32), "blk.0.attn_q.weight": (64, 32), "output_norm.weight": (32,)}
    return write_gguf(tmp_path_factory.mktemp("whole") / "m.gguf", tensors=tensors).read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "m.gguf"


def read(file: Path, content: bytes) -> GgufFile | None:
    """What `content` holds; None if it is refused, with a sentence that can be printed."""
    file.write_bytes(content)
    result = None
    for reading in (read_start, read_gguf):
        try:
            result = reading(file)
        except ModelUnusable as error:
            result = None
            check(error, file)
    return result if isinstance(result, GgufFile) else None


def check(error: ModelUnusable, file: Path) -> None:
    """The sentence names the file, and can be printed in a line."""
    assert str(file) in error.message
    assert "\n" not in str(error)
    assert str(error).encode()
    assert len(str(error)) < 500


def cost(file: Path) -> tuple[float, float]:
    """Seconds and mebibytes that reading takes. Watching the memory takes time itself, so that there are two runs."""
    begun = time.process_time()
    with suppress(ModelUnusable):
        read_gguf(file)
    seconds = time.process_time() - begun
    tracemalloc.start()
    try:
        with suppress(ModelUnusable):
            read_gguf(file)
        return seconds, tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_a_whole_file(whole: bytes, scratch: Path) -> None:
    file = read(scratch, whole)
    assert file is not None
    assert file.architecture == "llama"
    assert file.metadata["tokenizer.ggml.tokens"] == list(TOKENS)
    info = file.tensors["blk.0.attn_q.weight"]
    assert (info.shape, info.type.name, info.nbytes) == ((64, 32), "Q8_0", 64 * 34)
    assert max(info.offset + info.nbytes for info in file.tensors.values()) <= len(whole)


def test_the_start_has_no_tokenizer(whole: bytes, scratch: Path) -> None:
    scratch.write_bytes(whole)
    start = read_start(scratch)
    assert start["general.type"] == "model"
    assert not [key for key in start if key.startswith("tokenizer.")]


def test_files_that_end_anywhere(whole: bytes, scratch: Path) -> None:
    end = max(info.offset + info.nbytes for info in read_whole(scratch, whole).tensors.values())
    for length in (*range(400), *range(400, end, 7)):
        assert read(scratch, whole[:length]) is None, length


def read_whole(scratch: Path, content: bytes) -> GgufFile:
    file = read(scratch, content)
    assert file is not None
    return file


@given(data=st.data())
def test_flipped_bits(whole: bytes, scratch: Path, data: st.DataObject) -> None:
    content = bytearray(whole)
    for position in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        content[position] ^= 1 << data.draw(st.integers(0, 7))
    read(scratch, bytes(content))


@pytest.mark.parametrize("number", HUGE)
def test_huge_numbers_anywhere(whole: bytes, scratch: Path, number: int) -> None:
    end = min(info.offset for info in read_whole(scratch, whole).tensors.values())
    for position in range(4, end - 8):
        read(scratch, whole[:position] + struct.pack("<Q", number) + whole[position + 8 :])


@given(st.binary(max_size=300), st.sampled_from([2, 3]), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
@example(b"", 3, 0, 0)
@example(bytes(300), 3, 10, 10)
def test_anything_after_a_good_start(scratch: Path, content: bytes, version: int, n_tensors: int, n_pairs: int) -> None:
    for tensors, pairs in ((n_tensors, n_pairs), (n_tensors % 8, n_pairs % 8)):
        read(scratch, b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + content)


@given(st.binary(max_size=100))
def test_anything_at_all(scratch: Path, content: bytes) -> None:
    assert read(scratch, content) is None


def text(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


def start(n_tensors: int, n_pairs: int) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_pairs)


MANY = 2**25
LONG = {
    "zeros as pairs": start(0, 2**60) + bytes(MANY),
    "zeros as allowed pairs": start(0, 2**16) + bytes(MANY),
    "zeros as tensors": start(2**18, 0) + bytes(MANY),
    "an array of numbers": start(0, 1) + text(b"k") + struct.pack("<IIQ", _ARRAY, 0, MANY) + bytes(MANY),
    "an array of texts": start(0, 1) + text(b"k") + struct.pack("<IIQ", _ARRAY, _STRING, 2**20) + bytes(MANY),
    "many arrays": start(0, 4) + (text(b"k") + struct.pack("<IIQ", _ARRAY, 0, 2**21) + bytes(2**21)) * 4 + bytes(MANY),
    "arrays in arrays": start(0, 1) + text(b"k") + struct.pack("<I", _ARRAY) + struct.pack("<IQ", _ARRAY, 1) * 10**6,
    "one long text": start(0, 1) + text(b"k") + struct.pack("<IQ", _STRING, MANY) + b"\xff" * MANY,
}


@pytest.mark.long
@pytest.mark.parametrize("content", LONG.values(), ids=LONG.keys())
def test_long_headers_of_nothing(scratch: Path, content: bytes) -> None:
    file = read(scratch, content)
    assert file is None or not file.tensors
    seconds, mebibytes = cost(scratch)
    assert seconds < 10
    assert mebibytes < 400


def test_a_sparse_file_of_a_terabyte(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(start(1, 2**16))
    try:
        with file.open("r+b") as stream:
            stream.truncate(2**40)
    except OSError:
        pytest.skip("the disk has no sparse files")
    assert cost(file)[1] < 400


def test_names_that_cannot_be_printed(scratch: Path) -> None:
    name = b"\xff\n\x1b[31m" * 100
    tensor = text(name) + struct.pack("<IQIQ", 1, 32, 99, 0)
    assert read(scratch, start(1, 0) + tensor) is None
    assert read(scratch, start(1, 1) + text(name) + struct.pack("<I", 99)) is None


def test_tokens_keep_bytes_that_are_no_text(scratch: Path) -> None:
    tokens = struct.pack("<IIQ", _ARRAY, _STRING, 2) + text(b"\xff") + text("é".encode())
    file = read_whole(scratch, start(0, 1) + text(b"tokenizer.ggml.tokens") + tokens)
    assert [token.encode("utf-8", "surrogateescape") for token in file.metadata["tokenizer.ggml.tokens"]] == [
        b"\xff",
        "é".encode(),
    ]
