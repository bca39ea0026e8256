"""Languages: the file extension that names one in a prompt, and the language that a document is in."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

_EXTENSIONS = {
    "bash": "sh", "c": "c", "c#": "cs", "c++": "cpp", "cpp": "cpp", "csharp": "cs", "css": "css", "go": "go",
    "haskell": "hs", "html": "html", "java": "java", "javascript": "js", "json": "json", "julia": "jl",
    "kotlin": "kt", "lua": "lua", "markdown": "md", "perl": "pl", "php": "php", "python": "py", "r": "r", "ruby": "rb",
    "rust": "rs", "scala": "scala", "shell": "sh", "shellscript": "sh", "sql": "sql", "swift": "swift",
    "typescript": "ts", "yaml": "yaml",
}  # fmt: skip
"""File extensions by LSP language identifier and by common name."""

_LANGUAGES = {extension: language for language, extension in _EXTENSIONS.items()} | {
    "cc": "cpp", "h": "c", "hh": "cpp", "hpp": "cpp", "htm": "html", "jsx": "javascriptreact", "mjs": "javascript",
    "pyi": "python", "pyw": "python", "tsx": "typescriptreact", "yml": "yaml",
}  # fmt: skip
"""LSP language identifiers by file extension. Of several languages with one extension, the last in the table wins."""

_NOTEBOOK = ".ipynb"
_RELATIVES: dict[str, str] = dict.fromkeys(("cython", "ipython", "pyrex", "snakemake", "xonsh"), "python")
"""Supersets of Python that Pygments does not know, or knows as separate languages."""
_SHEBANG = re.compile(r"#!\s*\S*?(?:/env(?:\s+-\S+)*\s+)?([A-Za-z]+)[\d.]*(?=\s|$)", re.MULTILINE)


def path_for(path: str | None, language: str | None) -> str | None:
    """`path`, or a file name that shows the language. None when neither is known.

    A notebook is named like the program that its cells of that language form together.
    """
    extension = _EXTENSIONS.get((language or "").strip().lower())
    if path and not (extension and path.endswith(_NOTEBOOK)):
        return path
    return f"{path.removesuffix(_NOTEBOOK) if path else 'untitled'}.{extension}" if extension else None


def language_of(path: str) -> str:
    """The LSP language identifier for the extension of `path`; empty for an unknown one."""
    return _LANGUAGES.get(path.rpartition(".")[2].lower(), "")


def is_among(languages: Collection[str], language: str, path: str) -> bool:
    """Whether a document is in one of `languages`, empty for all. A document of which nothing is known is.

    `language` is the editor's id of its language, or empty. `path` is its path, or empty.
    """
    if not languages or language in languages or not (language or path):
        return True
    return not names_of(language.lower(), path).isdisjoint(languages)


@lru_cache(1024)
def names_of(language: str, path: str) -> frozenset[str]:
    """Every name of a document's language, close relatives included (Starlark counts as Python, too).

    Empty for an unknown language.
    """
    from pygments.lexers import find_lexer_class_by_name, find_lexer_class_for_filename
    from pygments.util import ClassNotFound

    name = "python" if not language and path.endswith(_NOTEBOOK) else _RELATIVES.get(language, language)
    try:
        lexer = find_lexer_class_by_name(name)
    except ClassNotFound:
        lexer = find_lexer_class_for_filename(path) if path else None
    return frozenset() if lexer is None else frozenset(lexer.aliases)


def of_first_line(text: str) -> str:
    """The language of a script by its shebang line; empty without one."""
    shebang = _SHEBANG.match(text)
    return shebang[1].lower() if shebang else ""
