"""The bars for a large workspace: 5,000 real files, mostly Python, with what there is of other languages."""

from __future__ import annotations

import itertools
import shutil
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lacuna_server.workspace import Indexer, WorkspaceIndex
from lacuna_server.workspace.ignored import source_text

FILES = 5000
OTHERS = 1000
BUILD_S, RSS_MB, EDIT_S = 60, 300, 0.05
PYTHON = (".py", ".pyi")
OTHER_SUFFIXES = (".js", ".ts", ".c", ".h", ".cpp", ".hpp", ".go", ".rs", ".java", ".cs", ".rb", ".php")


def sources(suffixes: tuple[str, ...]) -> Iterator[Path]:
    paths = sysconfig.get_paths()
    for folder in (paths["stdlib"], paths["purelib"], str(Path(pytest.__file__).parents[1])):
        for path in sorted(Path(folder).rglob("*")):
            if path.suffix in suffixes and path.is_file() and source_text(str(path)) is not None:
                yield path


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("large")
    others = list(itertools.islice(sources(OTHER_SUFFIXES), OTHERS))
    chosen = itertools.islice(itertools.chain(others, dict.fromkeys(sources(PYTHON))), FILES)
    for number, path in enumerate(chosen):
        target = root / f"part{number // 50}" / f"{number}_{path.name}"
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    return root


@pytest.mark.long
def test_bars(workspace: Path) -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    index = WorkspaceIndex([workspace])
    indexer = Indexer(index)
    start = time.perf_counter()
    indexer.start()
    assert indexer.wait(10 * BUILD_S)
    built = time.perf_counter() - start
    grown = (process.memory_info().rss - before) / 1e6
    indexer.close()
    stats = index.stats()
    edited = min(_edit(index, workspace) for _ in range(5))
    print(f"\n{stats}, built in {built:.1f} s, {grown:.0f} MB, an edit of 2,000 lines {1000 * edited:.1f} ms")  # noqa: T201
    assert stats.files >= 0.95 * FILES
    assert not stats.is_full
    assert (built < BUILD_S, grown < RSS_MB, edited < EDIT_S) == (True, True, True)


def _edit(index: WorkspaceIndex, workspace: Path) -> float:
    """Seconds for the update of a file of 2,000 lines."""
    source = Path(sysconfig.get_paths()["stdlib"]) / "typing.py"
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    text = "".join(itertools.islice(itertools.cycle(lines), 2000))
    start = time.perf_counter()
    assert index.update((workspace / "part0" / "edited.py").as_posix(), text)
    return time.perf_counter() - start
