"""How models that were trained on whole repositories were shown other files than the one with the hole.

`context_files.py` builds such prompts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RepositoryForm:
    """A prompt with other files: after the family's `begin` the repository's name, the files, and the usual layout.

    The repository's name is `name_sentinel`, the name and `name_end`; without `name_sentinel` it is not shown. A file
    is `file_sentinel`, its path as `path` writes it, its text, `file_end` and `end_sentinel`. The file with the hole
    begins alike: its layout follows its path. With `path_in_prefix`, its path is the beginning of its prefix instead,
    and with `files_in_prefix` all other files, too. What is not a sentinel is ordinary text.
    """

    file_sentinel: str | None = None
    name_sentinel: str | None = None
    name_end: str = ""
    path: str = "{path}\n"
    file_end: str = ""
    end_sentinel: str | None = None
    path_in_prefix: bool = False
    files_in_prefix: bool = False
