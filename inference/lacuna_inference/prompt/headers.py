"""What a prompt says about its file: the headers of the families that were trained with one."""

from __future__ import annotations


def incoder(path: str | None) -> str:
    """InCoder's opening tag: ordinary text, with a blank before the closing bar, as in its training data."""
    name = _file_name(path)
    return f"<| file ext=.{name.rsplit('.', 1)[-1]} |>\n" if "." in name else ""


def lacuna(path: str | None) -> str:
    """The bundled model's opening tag: InCoder's with the file's name."""
    name = _file_name(path)
    if "." not in name or any(character.isspace() for character in name):
        return ""
    return f"<| file ext=.{name.rsplit('.', 1)[-1]} filename={name} |>\n"


def name_line(path: str | None) -> str:
    """The file's name in a line of its own, as Mellum expects it after `<filename>`."""
    name = _file_name(path)
    return f"{name}\n" if name and "\n" not in name else ""


def _file_name(path: str | None) -> str:
    """The last part of `path`; for a notebook, with the suffix .py, as its cells form a program."""
    name = (path or "").replace("\\", "/").rsplit("/", 1)[-1]
    return name.removesuffix(".ipynb") + ".py" if name.endswith(".ipynb") else name
