"""Tasks from the history of a git repository: what people added to files, typed again. Runs the git program."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import tarfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lacuna_inference.errors import BadRequest
from lacuna_lab.evaluation.files import MAX_CHARACTERS, SourceFile
from lacuna_lab.replay.tasks import ReplayTask, has_plain_lines, has_word, is_generated, is_typed, is_wanted, task_at
from lacuna_lab.replay.typist import in_word
from lacuna_server.core.languages import language_of

MAX_COMMITS = 2000
"""The latest commits that changes are taken from."""
MAX_ADDED_LINES = 40
MIN_CHARACTERS = 8
"""Of a smaller change little could be suggested."""
PER_COMMIT = 3
"""Changes of one commit at most: some commits repeat one change everywhere."""
_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_PLAIN = ("-c", "core.fsmonitor=false", "-c", "core.quotepath=false", "--no-pager", "--no-optional-locks")
_DIFF = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames")


class _Hunk(NamedTuple):
    """Lines of the old and the new text, as half-open ranges from 0."""

    old: range
    new: range


def from_history(
    repository: Path, count: int, seed: int, languages: Collection[str] = (), trees: Path | None = None
) -> list[ReplayTask]:
    """Up to `count` changes that were committed, each in the file as it was when the change had to be typed.

    Earlier changes of the same commit to the file are in it, and what the change removed is not. In the folder `trees`,
    all files are written as they were before each commit; without it they are not seen. Raises BadRequest without git,
    a repository, or a change to type.
    """
    if shutil.which("git") is None:
        raise BadRequest("The history cannot be read: there is no git.", "Install it, or name files with --files.")
    commits = _git(repository, "log", "--no-merges", "--min-parents=1", "--format=%H", f"-n{MAX_COMMITS}").split()
    rng = random.Random(seed)
    rng.shuffle(commits)
    tasks: list[ReplayTask] = []
    for commit in commits:
        found = list(_changes(repository, commit, languages))
        found = rng.sample(found, min(PER_COMMIT, len(found), count - len(tasks)))
        if trees is not None and found:
            root = _tree(repository, f"{commit}^", trees / commit)
            found = [replace(task, root=root) for task in found]
        tasks += found
        if len(tasks) >= count:
            return tasks
    if not tasks:
        raise BadRequest(
            f"The history of {repository} has no change that adds a few lines of code.", "Name another with --history."
        )
    return tasks


def hunk_tasks(source: SourceFile, old: str, new: str, hunks: Sequence[_Hunk]) -> Iterator[ReplayTask]:
    """The tasks in one file's change from `old` to `new`."""
    old_lines, new_lines = old.split("\n"), new.split("\n")
    for removed, added in hunks:
        lines = new_lines[added.start : added.stop]
        gone = old_lines[removed.start : removed.stop]
        moved = [line.strip() for line in gone] == [line.strip() for line in lines]
        if moved or len(lines) > MAX_ADDED_LINES or not is_typed(lines):
            continue
        before = "".join(f"{line}\n" for line in new_lines[: added.start])
        after = "\n".join(old_lines[removed.stop :])
        target = "\n".join(lines) + ("\n" if removed.stop < len(old_lines) else "")
        if len(removed) == len(added) == 1:
            yield from _within_line(source, before, gone[0], lines[0], after)
        elif _is_worth_typing(target):
            yield task_at(source, before, target, after)


def hunks_of(diff: str) -> list[_Hunk]:
    """The hunks of a diff of one file without context lines."""
    return [_hunk(*(int(number or 1) for number in match.groups())) for match in _HUNK.finditer(diff)]


def _hunk(old: int, removed: int, new: int, added: int) -> _Hunk:
    """From git's numbers: of no lines, it names the line before, else the first."""
    first_old, first_new = old - bool(removed), new - bool(added)
    return _Hunk(range(first_old, first_old + removed), range(first_new, first_new + added))


def _within_line(source: SourceFile, before: str, old: str, new: str, after: str) -> Iterator[ReplayTask]:
    """A change within one line: nobody types again the words that stay the same at both ends of it."""
    start = _common(old, new)
    while 0 < start < len(new) and in_word(new[start - 1]) and in_word(new[start]):
        start -= 1
    end = _common(old[start:][::-1], new[start:][::-1])
    while 0 < end < len(new) - start and in_word(new[-end]) and in_word(new[-end - 1]):
        end -= 1
    target = new[start : len(new) - end]
    if _is_worth_typing(target):
        rest = new[len(new) - end :] + "\n" + after
        yield ReplayTask(
            source.group, source.name, source.path, language_of(source.name), before + new[:start], rest, target
        )


def _common(one: str, other: str) -> int:
    """Characters that both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _is_worth_typing(target: str) -> bool:
    return len(target.strip()) >= MIN_CHARACTERS and has_word(target)


def _changes(repository: Path, commit: str, languages: Collection[str]) -> Iterator[ReplayTask]:
    """The tasks in a commit's changes to files that were there before."""
    changed = _git(repository, "diff-tree", "-r", "-z", "--name-only", "--diff-filter=M", *_DIFF, f"{commit}^", commit)
    for path in (path for path in changed.split("\0") if is_wanted(path, languages)):
        old, new = (_text(repository, version, path) for version in (f"{commit}^", commit))
        source = SourceFile(repository.resolve().name, path, old, path)
        if old and new and not is_generated(path, new):
            diff = _git(repository, "diff", "-U0", *_DIFF, f"{commit}^", commit, "--", path)
            yield from hunk_tasks(source, old, new, hunks_of(diff))


def _tree(repository: Path, version: str, folder: Path) -> Path:
    """Writes the files of a version below a folder, and returns it."""
    packed = folder.with_suffix(".tar")
    _git(repository, "archive", f"--output={packed}", version)
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    packed.unlink()
    return folder


def _text(repository: Path, version: str, path: str) -> str:
    """The file in a version; empty if it is not text, or too long."""
    text = _git(repository, "show", f"{version}:{path}")
    odd = "\0" in text or "\ufffd" in text or len(text) > MAX_CHARACTERS
    return "" if odd or not has_plain_lines(text) else text


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(repository), *_PLAIN, *arguments],  # noqa: S607
        capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        raise BadRequest(
            f"The history of {repository} cannot be read: {lines[0].rstrip('.')}.",
            "Name a git repository with --history.",
        )
    return done.stdout.decode("utf-8", "replace")
