"""Saved KV caches: what is found again, and files that hold anything else."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import TINY, tiny_model
from hypothesis import given
from hypothesis import strategies as st

from lacuna_inference import private_files
from lacuna_inference.api import CancelToken
from lacuna_inference.cache import kv_file
from lacuna_inference.cache.disk import SUFFIX, DiskCaches
from lacuna_inference.cache.pool import PrefixCachePool, Use
from lacuna_inference.forward import exporting
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.architectures.registry import ForwardSpec
from lacuna_inference.models.forward.network import OwnForward
from lacuna_inference.models.forward.static import StaticForward

CONTEXT = 128
IDS = [7 + (3 * n) % 200 for n in range(100)]
MIB = 2**20


def network() -> OwnForward:
    model = tiny_model("llama")
    spec = ForwardSpec(torch.float32, torch.device("cpu"), CONTEXT)
    return registry.build({**TINY["llama"], **model.config.to_dict()}, model.state_dict(), spec)


FORWARD = network()


def disk(folder: Path, key: str = "model", budget: int = MIB) -> DiskCaches:
    return DiskCaches(folder, budget, key, FORWARD, CONTEXT)


def keys_values(ids: list[int] = IDS) -> torch.Tensor:
    kv_cache = FORWARD.new_kv_cache()
    FORWARD.step(ids, kv_cache)
    return FORWARD.export_kv(kv_cache)


def only_file(folder: Path) -> Path:
    (path,) = folder.glob(f"*{SUFFIX}")
    return path


def unchanged(run: Callable[[], None]) -> Callable[[], None]:
    return run


@pytest.mark.parametrize("recorded", [False, True])
def test_a_restored_cache_holds_the_same_bits_and_gives_the_same_logits(recorded: bool, tmp_path: Path) -> None:
    forward = StaticForward(FORWARD.network, 1, unchanged) if recorded else FORWARD
    exported = exporting(forward)
    assert exported is not None
    kv_cache = forward.new_kv_cache()
    forward.step(IDS[:-1], kv_cache)
    other = forward.new_kv_cache()
    forward.step(IDS[:3], other)
    copy = exported.export_kv(kv_cache)
    assert tuple(copy.shape) == exported.kv_shape(len(IDS) - 1)
    store = DiskCaches(tmp_path, MIB, "model", exported, CONTEXT)
    assert store.save("file:///a.py", IDS[:-1], {}, copy)
    header = store.find("file:///a.py")
    assert header is not None
    restored = store.load("file:///a.py", header)
    assert torch.equal(exported.export_kv(restored), copy)
    assert torch.equal(forward.step(IDS[-1:], restored), forward.step(IDS[-1:], kv_cache))


def test_the_pool_reads_only_what_the_saved_cache_lacks(tmp_path: Path) -> None:
    disk(tmp_path).save("a", IDS, {"window": [1, 2]}, keys_values())
    pool = PrefixCachePool(FORWARD, disk=disk(tmp_path))
    found = pool.on_disk("a")
    assert found is not None
    assert found.notes == {"window": [1, 2]}
    other = [*IDS[:80], 1, 2]
    cache = pool.cache_for("a", other)
    plain = PrefixCachePool(FORWARD).cache_for("a", other)
    assert torch.allclose(
        cache.compute_logits_after(other, CancelToken()), plain.compute_logits_after(other, CancelToken()), atol=1e-5
    )
    assert cache.counts.evaluated == 2
    assert pool.on_disk("a") is None  # it is in memory now
    for document, ids in (("b", IDS), ("a", [5, *IDS])):
        fresh = PrefixCachePool(FORWARD, disk=disk(tmp_path))
        assert fresh.cache_for(document, ids).tokens == ()
    assert PrefixCachePool(FORWARD, disk=disk(tmp_path)).cache_for("a", IDS, Use.PREFETCH).tokens == ()
    assert PrefixCachePool(FORWARD, disk=disk(tmp_path)).cache_for(None, IDS).tokens == ()


def test_another_model_or_document_finds_nothing(tmp_path: Path) -> None:
    disk(tmp_path).save("a", IDS, {}, keys_values())
    assert disk(tmp_path, "another").find("a") is None
    assert disk(tmp_path).find("b") is None
    path = only_file(tmp_path)
    foreign, _ = disk(tmp_path)._locate("b")
    path.rename(foreign)
    assert disk(tmp_path).find("b") is None
    assert not foreign.exists()


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "caches" / "kv"
    folder.mkdir(parents=True, mode=0o755)
    before = os.umask(0)
    try:
        assert disk(folder).save("file:///secret/name.py", IDS, {}, keys_values())
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(folder).stat().st_mode) == 0o600
    assert b"name.py" not in only_file(folder).read_bytes()
    assert "name" not in only_file(folder).name


def test_the_least_recently_used_files_make_room(tmp_path: Path) -> None:
    data = keys_values()
    store = disk(tmp_path, budget=int(2.5 * data.nbytes))
    for number, document in enumerate("abac"):
        if document == "a" and number:
            header = store.find("a")
            assert header is not None
            assert store.load("a", header) is not None  # counts as use
        else:
            assert store.save(document, IDS, {}, data)
        for path in tmp_path.glob("*"):  # clocks of file systems may be coarse
            found = path.stat()
            os.utime(path, (found.st_mtime - 10, found.st_mtime - 10))
    assert [store.find(document) is not None for document in "abc"] == [True, False, True]
    assert not disk(tmp_path, budget=data.nbytes - 1).save("d", IDS, {}, data)
    assert store.find("a") is not None


def test_what_a_killed_process_left_is_removed_later(tmp_path: Path) -> None:
    old, new = tmp_path / f"x.1{private_files.TEMPORARY}", tmp_path / f"y.2{private_files.TEMPORARY}"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    disk(tmp_path).save("a", IDS, {}, keys_values())
    assert (old.exists(), new.exists()) == (False, True)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    store = disk(tmp_path / "file" / "kv")
    assert not store.save("a", IDS, {}, keys_values())
    assert store.find("a") is None
    assert "not saved" in caplog.text


def test_a_full_disk_gets_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lacuna_inference.cache.disk._KEPT_FREE", 2**62)
    assert not disk(tmp_path).save("a", IDS, {}, keys_values())
    assert not list(tmp_path.iterdir())


SAVED = keys_values()


def damaged_is_ignored_and_removed(folder: Path, content: bytes) -> None:
    store = disk(folder)
    path, _ = store._locate("a")
    path.write_bytes(content)
    header = store.find("a")
    assert header is None or store.load("a", header) is None
    assert not path.exists()


@given(data=st.data())
def test_any_changed_or_missing_byte_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("kv")
    disk(folder).save("a", IDS, {"window": [0, 0]}, SAVED)
    content = bytearray(only_file(folder).read_bytes())
    at = data.draw(st.one_of(st.integers(0, 600), st.integers(0, len(content) - 1)))
    change = data.draw(st.sampled_from(["flip", "cut", "grow"]))
    if change == "flip":
        content[at] ^= data.draw(st.integers(1, 255))
    elif change == "cut":
        del content[at:]
    else:
        content += data.draw(st.binary(min_size=1, max_size=9))
    damaged_is_ignored_and_removed(folder, bytes(content))


@given(content=st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda rest: kv_file._MAGIC + rest)))
def test_any_other_file_is_ignored_and_removed(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    damaged_is_ignored_and_removed(tmp_path_factory.mktemp("kv"), content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@given(fields=JSON | st.fixed_dictionaries({"key": JSON, "tokens": JSON, "notes": JSON, "checksum": JSON}))
def test_any_other_header_is_ignored_and_removed(tmp_path_factory: pytest.TempPathFactory, fields: object) -> None:
    import json
    import zlib

    head = json.dumps(fields).encode()
    content = kv_file._PREFIX.pack(kv_file._MAGIC, len(head), zlib.crc32(head)) + head
    damaged_is_ignored_and_removed(tmp_path_factory.mktemp("kv"), content)


def test_a_file_with_more_tokens_than_the_context_is_removed(tmp_path: Path) -> None:
    disk(tmp_path).save("a", IDS, {}, keys_values())
    assert DiskCaches(tmp_path, MIB, "model", FORWARD, len(IDS) - 1).find("a") is None
    assert not list(tmp_path.iterdir())


def test_a_folder_in_place_of_a_file_is_ignored(tmp_path: Path) -> None:
    path, _ = disk(tmp_path)._locate("a")
    path.mkdir()
    assert disk(tmp_path).find("a") is None
    assert not disk(tmp_path).save("a", IDS, {}, keys_values())


WRITER = """
import sys, torch
from pathlib import Path
from lacuna_inference.cache.disk import DiskCaches

class Forward:
    kv_dtype = torch.float32
    kv_shape = staticmethod(lambda length: (2, length, 4096))
    import_kv = staticmethod(lambda keys_values, length: keys_values)

store = DiskCaches(Path(sys.argv[1]), int(2.5 * 2 * 20 * 4096 * 4), "model", Forward(), 100)
number = int(sys.argv[2])
for turn in range(60):
    document, mark = str(turn % 4), 2 * turn + number
    store.save(document, [mark + 1] * 20, {}, torch.full((2, 20, 4096), float(mark)))
    header = store.find(str((turn + 1) % 4))
    if header is not None and (kept := store.load(str((turn + 1) % 4), header)) is not None:
        assert bool((kept == header.tokens[0] - 1).all()), "half of one and half of another"
print("fine")
"""


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    both = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for n in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [output.decode().strip() for output in outputs] == ["fine", "fine"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4 * 2 * 20 * 4096 * 4
