"""Languages: by which ending of a file's name a prompt tells one, and which one a document is in."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

_ENDINGS = {
    "bash": "sh", "c": "c", "c#": "cs", "c++": "cpp", "cpp": "cpp", "csharp": "cs", "css": "css", "go": "go",
    "haskell": "hs", "html": "html", "java": "java", "javascript": "js", "json": "json", "julia": "jl",
    "kotlin": "kt", "lua": "lua", "markdown": "md", "perl": "pl", "php": "php", "python": "py", "r": "r", "ruby": "rb",
    "rust": "rs", "scala": "scala", "shell": "sh", "shellscript": "sh", "sql": "sql", "swift": "swift",
    "typescript": "ts", "yaml": "yaml",
}  # fmt: skip
"""By the protocol's language identifiers, and by what people call them."""

_LANGUAGES = {ending: language for language, ending in _ENDINGS.items()} | {
    "cc": "cpp", "h": "c", "hh": "cpp", "hpp": "cpp", "htm": "html", "jsx": "javascriptreact", "mjs": "javascript",
    "pyi": "python", "pyw": "python", "tsx": "typescriptreact", "yml": "yaml",
}  # fmt: skip
"""The protocol's identifiers by the ending. Of several languages with one ending the last of the table counts."""

_NOTEBOOK = ".ipynb"
_RELATIVES: dict[str, str] = dict.fromkeys(("cython", "ipython", "pyrex", "snakemake", "xonsh"), "python")
"""Languages that are Python and something more, which Pygments knows by no name or as others."""
_SHEBANG = re.compile(r"#!\s*\S*?(?:/env(?:\s+-\S+)*\s+)?([A-Za-z]+)[\d.]*(?=\s|$)", re.MULTILINE)


def path_for(path: str | None, language: str | None) -> str | None:
    """`path`, or a name that says which language it is; None when neither is known.

    A notebook is named as the program that its cells of that language make together.
    """
    ending = _ENDINGS.get((language or "").strip().lower())
    if path and not (ending and path.endswith(_NOTEBOOK)):
        return path
    return f"{path.removesuffix(_NOTEBOOK) if path else 'untitled'}.{ending}" if ending else None


def language_of(path: str) -> str:
    """The protocol's identifier of the language that the ending of `path` says; empty for an unknown one."""
    return _LANGUAGES.get(path.rpartition(".")[2].lower(), "")


def is_among(languages: Collection[str], language: str, place: str) -> bool:
    """Whether a document is in one of `languages`: of none for all. So is one of which nothing is known.

    `language` is its editor's id, or empty; `place` its path, or empty.
    """
    if not languages or language in languages or not (language or place):
        return True
    return not names_of(language.lower(), place).isdisjoint(languages)


@lru_cache(1024)
def names_of(language: str, place: str) -> frozenset[str]:
    """Every name of a document's language, with its close relatives (Starlark is called Python, too); empty for an
    unknown one."""
    from pygments.lexers import find_lexer_class_by_name, find_lexer_class_for_filename
    from pygments.util import ClassNotFound

    known = "python" if not language and place.endswith(_NOTEBOOK) else _RELATIVES.get(language, language)
    try:
        lexer = find_lexer_class_by_name(known)
    except ClassNotFound:
        lexer = find_lexer_class_for_filename(place) if place else None
    return frozenset() if lexer is None else frozenset(lexer.aliases)


def of_first_line(text: str) -> str:
    """The language of a script, as its first line names the interpreter; empty without one."""
    found = _SHEBANG.match(text)
    return found[1].lower() if found else ""
