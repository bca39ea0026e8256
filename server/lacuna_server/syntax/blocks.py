"""Whether a line that is being written opens a block, so that what follows are its statements."""

from __future__ import annotations

import re

from lacuna_server.syntax.grammars import Grammar
from lacuna_server.syntax.opened import opened

_COLON = re.compile(
    r"(?:async\s+)?(?:if|elif|else|for|while|def|class|with|try|except|finally|match|case)\b.*:\Z|[)\]}].*:\Z"
)
"""Of Python: a compound statement, or the end of one that began above. Other colons annotate, slice, or map a key."""
_LABEL = re.compile(r"(?:case\b.*|default|public|private|protected)\s*:\Z")
"""Of the languages with braces. Other colons begin a type or a value."""
_RUBY = re.compile(
    r"(?:.*\bdo|.*[{|]|.*\bthen|(?:begin|else|ensure|loop do)|(?:def|elsif|if|unless|until|while|when)\b.*\))\Z"
)
_SLASHES, _HASH = re.compile(r"(?:\A|\s)//.*\Z"), re.compile(r"(?:\A|\s)#(?:\s.*|\Z)")
_COMMENTS = {"php": (_SLASHES, _HASH), "python": (_HASH,), "ruby": (_HASH,)}


def opens_block(line: str, grammar: Grammar | None) -> bool:
    """Whether a block follows `line`, the text of a line up to a cursor that nothing but closing brackets follows.

    Without a grammar, a colon or a brace at the end opens one.
    """
    if grammar is None:
        return line.rstrip().endswith((":", "{"))
    for comment in _COMMENTS.get(grammar.name, (_SLASHES,)):
        line = comment.sub("", line)
    line = line.strip()
    if any(not one.is_bracket for one in opened(line, grammar)):
        return False  # in a string or a comment
    if grammar.name == "ruby":
        return bool(_RUBY.match(line))
    return line.endswith("{") or bool((_COLON if grammar.indents else _LABEL).match(line))
