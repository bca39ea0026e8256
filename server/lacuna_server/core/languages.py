"""Languages by the ending of their files' names: what a prompt's header says where there is no name to say it."""

from __future__ import annotations

_ENDINGS = {
    "bash": "sh", "c": "c", "c#": "cs", "c++": "cpp", "cpp": "cpp", "csharp": "cs", "css": "css", "go": "go",
    "haskell": "hs", "html": "html", "java": "java", "javascript": "js", "json": "json", "julia": "jl",
    "kotlin": "kt", "lua": "lua", "markdown": "md", "perl": "pl", "php": "php", "python": "py", "r": "r", "ruby": "rb",
    "rust": "rs", "scala": "scala", "shell": "sh", "shellscript": "sh", "sql": "sql", "swift": "swift",
    "typescript": "ts", "yaml": "yaml",
}  # fmt: skip
"""By the protocol's language identifiers, and by what people call them."""

_NOTEBOOK = ".ipynb"


def path_for(path: str | None, language: str | None) -> str | None:
    """`path`, or a name that says which language it is; None when neither is known.

    A notebook is named as the program that its cells of that language make together.
    """
    ending = _ENDINGS.get((language or "").strip().lower())
    if path and not (ending and path.endswith(_NOTEBOOK)):
        return path
    return f"{path.removesuffix(_NOTEBOOK) if path else 'untitled'}.{ending}" if ending else None
