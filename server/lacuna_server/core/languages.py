"""Languages by the ending of their files' names, and the other way: for documents that lack one of the two."""

from __future__ import annotations

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
