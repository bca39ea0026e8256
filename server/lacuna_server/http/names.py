"""A file's name for a language, for models that were trained with names of files."""

from __future__ import annotations

_ENDINGS = {
    "bash": "sh", "c": "c", "c#": "cs", "c++": "cpp", "cpp": "cpp", "csharp": "cs", "css": "css", "go": "go",
    "haskell": "hs", "html": "html", "java": "java", "javascript": "js", "json": "json", "julia": "jl",
    "kotlin": "kt", "lua": "lua", "markdown": "md", "perl": "pl", "php": "php", "python": "py", "r": "r", "ruby": "rb",
    "rust": "rs", "scala": "scala", "shell": "sh", "shellscript": "sh", "sql": "sql", "swift": "swift",
    "typescript": "ts", "yaml": "yaml",
}  # fmt: skip


def path_for(path: str | None, language: str | None) -> str | None:
    """`path`, or a name that says which language it is; None when neither is known."""
    if path:
        return path
    ending = _ENDINGS.get((language or "").strip().lower())
    return f"untitled.{ending}" if ending else None
