"""The prompt families: one table of how each published model wants the text around a hole.

A layout is a tuple of sentinel strings and of the marks HEADER, PREFIX, SUFFIX and LINE. Every sentinel must be one
token of the model's tokenizer; `prompt/tokens.py` refuses a model where it is not. To add a family, add a row here and
a golden row in tests/unit/test_families.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, StrEnum

from lacuna_inference.errors import BadRequest


class Placeholder(Enum):
    """A place in a layout that the request's text fills."""

    HEADER = "header"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    LINE = "line"
    """The beginning of the cursor's line, which then is not part of the prefix: such a layout is anchored."""


class Layout(StrEnum):
    """Where the prompt stops and the forced beginning of the hole starts."""

    ANCHORED = "anchored"
    """At an anchor, the start of the cursor's line: what stands around it stays as it is while the user types, and the
    typed part of the line begins the hole (Guo et al., 2025, arXiv 2505.21889, without its training)."""
    CANONICAL = "canonical"
    """At the cursor, as the model was trained."""


HEADER, PREFIX, SUFFIX, LINE = Placeholder.HEADER, Placeholder.PREFIX, Placeholder.SUFFIX, Placeholder.LINE
LayoutPiece = str | Placeholder


@dataclass(frozen=True, slots=True)
class Traits:
    """What a model says of itself: its config's `model_type`, and its folder's or hub id's name in lower case."""

    model_type: str
    name: str


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table.

    `infill` is the layout for one hole, None for models that only write from left to right. `begin` is the one
    sentinel at the start of a left-to-right prompt. `ends` close a hole or the text; those a tokenizer lacks are
    passed over, except the first; a family without any ends at the model's own end-of-text token.

    A model belongs to a family whose sentinels it has. Where several have the same ones, a word of the model's name
    among `names` decides, then its `model_type` among `models`. A family that is not `shown_by_tokens` needs either.
    """

    name: str
    published: str
    infill: tuple[LayoutPiece, ...] | None
    ends: tuple[str, ...]
    begin: str | None = None
    context: int = 2048
    models: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    shown_by_tokens: bool = True
    header: Callable[[str | None], str] | None = None
    mask: Callable[[int], str] | None = None
    """Sentinel of the n-th hole, for families that fill several holes in one text."""
    local: bool = False
    """N-grams of the open file are mixed in (`lacuna_inference.in_file.ngrams`), with shares fitted to this model."""
    text_begins_bare: bool = False
    """Sentencepiece puts a blank before a text; for the suffix it must be taken away again."""
    begin_added: bool = False
    """The published tokenizer puts `begin` before every text by itself, and so do servers that are sent text."""

    def layout(self, wanted: Layout) -> tuple[LayoutPiece, ...] | None:
        """The layout for one hole, anchored or not; None for models that only write from left to right.

        Only where the suffix stands behind the prefix does anchoring spare anything: else typing appends anyway.
        """
        if self.infill is None or wanted is Layout.CANONICAL:
            return self.infill and tuple(piece for piece in self.infill if piece is not LINE)
        if LINE in self.infill or not self._suffix_last:
            return self.infill
        return (*self.infill, LINE)

    @property
    def anchored_untrained(self) -> bool:
        """Whether the anchored layout is not one that the model was trained with."""
        return self.layout(Layout.ANCHORED) != self.infill

    @property
    def _suffix_last(self) -> bool:
        infill = self.infill or ()
        return infill.index(SUFFIX) > infill.index(PREFIX)

    @property
    def sentinels(self) -> tuple[str, ...]:
        """The sentinel strings that the layouts of this family cannot do without."""
        strings = [piece for piece in self.infill or () if isinstance(piece, str)]
        return tuple(dict.fromkeys([*([self.begin] if self.begin else []), *strings, *self.ends[:1]]))


def _incoder_header(path: str | None) -> str:
    """InCoder's opening tag: ordinary text, with a blank before the closing bar, as in its training data."""
    name = _file_name(path)
    return f"<| file ext=.{name.rsplit('.', 1)[-1]} |>\n" if "." in name else ""


def _lacuna_header(path: str | None) -> str:
    """The opening tag of the bundled model: as InCoder's, with the file's name."""
    name = _file_name(path)
    if "." not in name or any(character.isspace() for character in name):
        return ""
    return f"<| file ext=.{name.rsplit('.', 1)[-1]} filename={name} |>\n"


def _file_name(path: str | None) -> str:
    """The last part of `path`; of a notebook, as the program that its cells make together."""
    name = (path or "").replace("\\", "/").rsplit("/", 1)[-1]
    return name.removesuffix(".ipynb") + ".py" if name.endswith(".ipynb") else name


def _causal_mask(index: int) -> str:
    return f"<|mask:{index}|>"


_CAUSAL_MASKING = ("<|endoftext|>", HEADER, PREFIX, "<|mask:0|>", SUFFIX, "<|mask:1|>", "<|mask:0|>")
_PSM = ("<fim_prefix>", PREFIX, "<fim_suffix>", SUFFIX, "<fim_middle>")
_PSM_BARS = ("<|fim_prefix|>", PREFIX, "<|fim_suffix|>", SUFFIX, "<|fim_middle|>")
_SPM = ("<fim_suffix>", SUFFIX, "<fim_prefix>", PREFIX, "<fim_middle>")

FAMILIES: tuple[Family, ...] = (
    Family(
        "lacuna", "the bundled model",
        ("<|endoftext|>", "<|mask:0|>", SUFFIX, "<|mask:1|>", HEADER, PREFIX, "<|mask:2|>", LINE),
        ("<|endofmask|>", "<|endoftext|>"), "<|endoftext|>",
        models=("llama",), shown_by_tokens=False, header=_lacuna_header, local=True,
    ),
    Family(
        "incoder", "InCoder 1B, 6B", _CAUSAL_MASKING, ("<|endofmask|>", "<|endoftext|>"), "<|endoftext|>",
        models=("xglm",), header=_incoder_header, mask=_causal_mask,
    ),
    Family(
        "codegen2", "CodeGen2, CodeGen2.5",
        (PREFIX, "<mask_1>", SUFFIX, "<|endoftext|>", "<sep>", "<mask_1>"), ("<eom>", "<|endoftext|>"),
    ),
    Family(
        "santacoder", "SantaCoder 1.1B",
        ("<fim-prefix>", PREFIX, "<fim-suffix>", SUFFIX, "<fim-middle>"), ("<|endoftext|>",),
    ),
    Family(
        "refact", "Refact 1.6B", _SPM, ("<|endoftext|>",), context=4096,
        models=("gpt_refact",), names=("refact",), shown_by_tokens=False,
    ),
    Family(
        "mellum", "Mellum 4B, Mellum2", _SPM, ("<|endoftext|>", "<filename>"), context=8192,
        models=("mellum",), names=("mellum",), shown_by_tokens=False,
    ),
    Family(
        "granite", "Granite code 3B to 34B", _PSM, ("<|endoftext|>",), context=8192,
        names=("granite",), shown_by_tokens=False,
    ),
    Family("granite3", "Granite 3", _PSM, ("<|end_of_text|>",), context=131_072),
    Family(
        "granite4", "Granite 4", _PSM_BARS, ("<|end_of_text|>",), context=131_072,
        models=("granite", "granitemoe", "granitemoehybrid"),
    ),
    Family(
        "starcoder2", "StarCoder2 3B, 7B, 15B", _PSM, ("<|endoftext|>", "<file_sep>"), context=16_384,
        models=("starcoder2",), shown_by_tokens=False,
    ),
    Family(
        "stablecode", "Stable Code 3B", _PSM, ("<|endoftext|>",), context=16_384,
        models=("stablelm",), shown_by_tokens=False,
    ),
    Family(
        "codeqwen", "CodeQwen1.5 7B", _PSM, ("<|endoftext|>",), context=65_536,
        models=("qwen2",), names=("codeqwen",), shown_by_tokens=False,
    ),
    Family(
        "starcoder", "StarCoder, StarCoderBase 1B to 15B, others with their tokens", _PSM, ("<|endoftext|>",),
        context=8192, models=("gpt_bigcode",),
    ),
    Family(
        "codellama", "CodeLlama 7B, 13B, 70B base",
        ("<s>", "▁<PRE>", PREFIX, "▁<SUF>", SUFFIX, "▁<MID>"), ("▁<EOT>", "</s>"), "<s>", context=16_384,
        text_begins_bare=True, begin_added=True,
    ),
    Family(
        "deepseek", "DeepSeek-Coder 1.3B to 33B, DeepSeek V2 to V4",
        ("<｜begin▁of▁sentence｜>", "<｜fim▁begin｜>", PREFIX, "<｜fim▁hole｜>", SUFFIX, "<｜fim▁end｜>"),
        ("<｜end▁of▁sentence｜>",), "<｜begin▁of▁sentence｜>", context=16_384,
        begin_added=True,
    ),
    Family(
        "qwen2.5-coder", "Qwen2.5-Coder 0.5B to 32B, Qwen3-Coder, others with their tokens", _PSM_BARS,
        ("<|endoftext|>", "<|im_end|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
        context=32_768,
    ),
    Family(
        "codegemma", "CodeGemma 2B, 7B", ("<bos>", *_PSM_BARS), ("<|file_separator|>", "<eos>"), "<bos>", context=8192,
        begin_added=True,
    ),
    Family(
        "codestral", "Codestral 22B", ("<s>", "[SUFFIX]", SUFFIX, "[PREFIX]", PREFIX), ("</s>",), "<s>", context=32_768,
        models=("mistral",), names=("codestral",), shown_by_tokens=False, text_begins_bare=True,
        begin_added=True,
    ),
    Family(
        "seed-coder", "Seed-Coder 8B base",
        ("<[begin▁of▁sentence]>", "<[fim-suffix]>", SUFFIX, "<[fim-prefix]>", PREFIX, "<[fim-middle]>"),
        ("<[end▁of▁sentence]>",), "<[begin▁of▁sentence]>", context=32_768,
    ),
    Family(
        "aixcoder", "aiXcoder 7B",
        ("<s>", "▁<AIX-SPAN-PRE>", PREFIX, "▁<AIX-SPAN-POST>", SUFFIX, "▁<AIX-SPAN-MIDDLE>"), ("</s>",), "<s>",
        context=32_768, text_begins_bare=True,
    ),
    Family(
        "codegen", "CodeGen 350M to 16B (left to right only)", None, ("<|endoftext|>",),
        models=("codegen",), shown_by_tokens=False,
    ),
    Family("plain", "any other model (left to right only)", None, (), shown_by_tokens=False),
)  # fmt: skip

_UNTRAINED = ("opencoder", "replit-code", "mamba-codestral")
_UNTRAINED_TYPES = ("mamba", "mamba2")
"""Models whose tokenizers have another family's sentinels, and which were not trained to fill holes."""
_INFILL_TOKEN = re.compile(
    r"<[|｜\[]?(fim|code)[-_▁](prefix|suffix|middle|begin|hole|end)[|｜\]]?>"
    r"|▁?<(AIX-SPAN-)?(PRE|POST|SUF|MID|MIDDLE)>|\[(PREFIX|SUFFIX|MIDDLE)\]|<\|(prefix|suffix|middle)\|>|<\|mask:0\|>|<mask_1>"
)

_BY_TOKENS = 2
"""The rank of a family that only tokens speak for."""


def by_name(name: str) -> Family:
    """The family called `name`. Raises BadRequest for another name."""
    for family in FAMILIES:
        if family.name == name:
            return family
    raise BadRequest(f"There is no prompt family called {name!r}.", f"Known: {', '.join(f.name for f in FAMILIES)}.")


def recognise(vocabulary: Collection[str], traits: Traits) -> Family | None:
    """The family that a model with these tokens belongs to, or None.

    One that can infill is preferred to one that cannot; then the order is: by name, by type, by tokens alone, and the
    order of the table.
    """
    if _untrained(traits):
        return None
    fitting = [family for family in FAMILIES if all(sentinel in vocabulary for sentinel in family.sentinels)]
    ranked = [(family.infill is None, _rank(family, traits), family) for family in fitting]
    known = [(left_to_right, rank, family) for left_to_right, rank, family in ranked if rank is not None]
    return min(known, key=lambda one: (one[0], one[1]))[2] if known else None


def infill_tokens(vocabulary: Collection[str]) -> list[str]:
    """The tokens that look as if they opened or closed a hole, sorted: a model of no known family may have some."""
    return sorted(token for token in vocabulary if _INFILL_TOKEN.fullmatch(token))


def doubt(family: Family | None, vocabulary: Collection[str], traits: Traits) -> str | None:
    """Why `family`, as `recognise` found it, may not be the right one, in words; None when it is certain enough."""
    if family is None or family.infill is None:
        found = infill_tokens(vocabulary)
        if not found or _untrained(traits):
            return None
        return (
            f"its tokens for infilling ({', '.join(found[:3])}) are those of no known family, so the suffix is ignored"
        )
    if _rank(family, traits) != _BY_TOKENS:
        return None
    same, layout = set(family.sentinels), family.infill
    others = [other.name for other in FAMILIES if set(other.sentinels) == same and other.infill != layout]
    return f"{' and '.join(others)} share its tokens and lay them out otherwise" if others else None


def _rank(family: Family, traits: Traits) -> int | None:
    """How well the traits fit a family whose tokens do, the best first; None when they do not."""
    if any(_says(traits.name, word) for word in family.names):
        return 0
    if traits.model_type in family.models:
        return 1
    return _BY_TOKENS if family.shown_by_tokens else None


def _untrained(traits: Traits) -> bool:
    return traits.model_type in _UNTRAINED_TYPES or any(_says(traits.name, word) for word in _UNTRAINED)


def _says(name: str, word: str) -> bool:
    """Whether `word` stands in `name` by itself: `refact-1_6b` says refact, and `refactoring` does not."""
    return re.search(rf"(?<![a-z]){re.escape(word)}(?![a-z])", name) is not None
