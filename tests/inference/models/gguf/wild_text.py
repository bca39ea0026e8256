"""Texts on which tokenizers that are almost right go wrong."""

from __future__ import annotations

import random
import sysconfig
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path

_BLANKS = (
    " ",
    "  ",
    "    ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\v",
    "\f",
    "\x85",
    "\xa0",
    "\u2003",
    "\u2028",
    "\u3000",
    "\u200b",
)
_DIGITS = "0123456789٣४½²Ⅷ㊿𝟘"
_EMOJI = ("😀", "👩‍👩‍👧", "🇩🇪", "👍🏽", "❤️", "🏴‍☠️", "☃", "™", "㋿")
_MARKS = ("e\u0301", "n\u0303\u0323", "\u0301", "क्ष", "नि", "ำ", "שָׁ", "u\u0308\u0304", "\u20dd")
_LETTERS = "azAZéßſİıǅªºµΩжЖあア漢字한글ﷺᏍⰀꙀ"
_RARE = (
    (0x1780, 0x17DD), (0x10300, 0x1031F), (0x10400, 0x1044F), (0x12000, 0x12300), (0x16A0, 0x16EA), (0x1F00, 0x1F15),
    (0x2C00, 0x2C2E), (0xA000, 0xA48C), (0xAB70, 0xABBF), (0x1E900, 0x1E943), (0x20000, 0x20020), (0xFB00, 0xFB06),
    (0x13A0, 0x13F5), (0x2150, 0x2188), (0x3300, 0x33FF), (0x2190, 0x21FF), (0xE000, 0xE010), (0x1D400, 0x1D454),
)  # fmt: skip
_CONTRACTIONS = ("'s", "'S", "'T", "'re", "'Re", "'VE", "'ll", "'lL", "'d", "'m", "'ſ", "’s", "'", "''", "'x")
_SENTINELS = ("<|endoftext|>", "<|fim_prefix|>", "<fim_suffix>", "<｜fim▁hole｜>", "▁<PRE>", "<s>", "</s>", "<unk>",
              "<|im_start|>", "<0x0A>", "[INST]", "<|", "|>", "▁", "▁▁", "<|file_sep|>", "<mask>", "<pad>")  # fmt: skip
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡§«»—…“”、。！？€©"


def wild_text(rng: random.Random) -> str:
    """Up to a few hundred code points that both sides' tables of Unicode have; no surrogates."""
    return "".join(rng.choice(_KINDS)(rng) for _ in range(rng.randint(1, 6)))


def _of(choices: str | tuple[str, ...], most: int) -> Callable[[random.Random], str]:
    return lambda rng: "".join(rng.choice(choices) for _ in range(rng.randint(1, most)))


def _code(rng: random.Random) -> str:
    source = rng.choice(_sources())
    start = rng.randrange(len(source))
    return source[start : start + rng.randint(1, 200)]


def _blank_run(rng: random.Random) -> str:
    return rng.choice(_BLANKS) * rng.randint(1, 40)


def _any(rng: random.Random) -> str:
    return "".join(rng.choice(_known()) for _ in range(rng.randint(1, 8)))


def _rare(rng: random.Random) -> str:
    first, last = rng.choice(_RARE)
    return "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 8)))


def _repeated(rng: random.Random) -> str:
    return rng.choice((*_PUNCTUATION, *_LETTERS, *_DIGITS, "ab", "= ", "-=")) * rng.randint(1, 60)


def _mixed(rng: random.Random) -> str:
    """One element of each kind, side by side."""
    pools = (_BLANKS, _DIGITS, _MARKS, _LETTERS, _CONTRACTIONS, _PUNCTUATION, _EMOJI)
    return "".join(rng.choice(rng.choice(pools)) for _ in range(rng.randint(2, 12)))


_KINDS = (
    _code, _code, _blank_run, _of(_BLANKS, 8), _of(_DIGITS, 9), _of("0123456789", 12), _of(_EMOJI, 4), _of(_MARKS, 5),
    _of(_LETTERS, 10), _of(_CONTRACTIONS, 4), _of(_SENTINELS, 3), _of(_PUNCTUATION, 8), _any, _rare, _repeated, _mixed,
)  # fmt: skip


@cache
def _sources() -> list[str]:
    library = Path(sysconfig.get_path("stdlib"))
    return [file.read_text(encoding="utf-8", errors="ignore") for file in sorted(library.glob("*.py"))[:60]]


@cache
def _known() -> str:
    """All characters of Unicode 3.2: what newer versions add, one side may know and the other not."""
    old = unicodedata.ucd_3_2_0
    return "".join(chr(c) for c in range(0x110000) if old.category(chr(c)) not in ("Cn", "Cs"))
