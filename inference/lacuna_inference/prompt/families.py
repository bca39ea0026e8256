"""The prompt families: one table of how each published model wants the text around a hole.

A layout is a tuple of sentinel strings and of the marks HEADER, PREFIX, SUFFIX and LINE. Every sentinel must be one
token of the model's tokenizer; `prompt/tokens.py` refuses a model where it is not. To add a family, add a row here and
a golden row in tests/unit/test_families.py.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from enum import Enum, StrEnum

from lacuna_inference.errors import BadRequest


class Part(Enum):
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


HEADER, PREFIX, SUFFIX, LINE = Part.HEADER, Part.PREFIX, Part.SUFFIX, Part.LINE
Piece = str | Part


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
    passed over, except the first; a family without any ends at the model's own end-of-text token. `models` are the
    `model_type`s it is found under, `names` parts of model names; with `named_only` a name is needed, because another
    family has the same tokens.
    """

    name: str
    published: str
    infill: tuple[Piece, ...] | None
    ends: tuple[str, ...]
    begin: str | None = None
    context: int = 2048
    models: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    named_only: bool = False
    header: Callable[[str | None], str] | None = None
    mask: Callable[[int], str] | None = None
    """Sentinel of the n-th hole, for families that fill several holes in one text."""
    local: bool = False
    """N-grams of the open file are mixed in (`lacuna_inference.decode.local`), with shares fitted to this model."""
    text_begins_bare: bool = False
    """Sentencepiece puts a blank before a text; for the suffix it must be taken away again."""

    def layout(self, wanted: Layout) -> tuple[Piece, ...] | None:
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
        models=("llama",), header=_lacuna_header, local=True,
    ),
    Family(
        "incoder", "InCoder 1B, 6B", _CAUSAL_MASKING, ("<|endofmask|>", "<|endoftext|>"), "<|endoftext|>",
        models=("xglm",), header=_incoder_header, mask=_causal_mask,
    ),
    Family(
        "codegen2", "CodeGen2, CodeGen2.5",
        (PREFIX, "<mask_1>", SUFFIX, "<|endoftext|>", "<sep>", "<mask_1>"), ("<eom>", "<|endoftext|>"),
        models=("codegen", "llama"),
    ),
    Family(
        "santacoder", "SantaCoder 1.1B",
        ("<fim-prefix>", PREFIX, "<fim-suffix>", SUFFIX, "<fim-middle>"), ("<|endoftext|>",),
        models=("gpt_bigcode", "gpt2"),
    ),
    Family(
        "refact", "Refact 1.6B", _SPM, ("<|endoftext|>",), context=4096,
        models=("gpt_refact", "gpt_bigcode"), names=("refact",), named_only=True,
    ),
    Family(
        "mellum", "Mellum 4B", _SPM, ("<|endoftext|>", "<filename>"), context=8192,
        models=("llama",), names=("mellum",), named_only=True,
    ),
    Family(
        "granite", "Granite code 3B to 34B", _PSM, ("<|endoftext|>",), context=8192,
        models=("llama", "gpt_bigcode"), names=("granite",), named_only=True,
    ),
    Family(
        "granite4", "Granite 4", _PSM_BARS, ("<|end_of_text|>",), context=131_072,
        models=("granite", "granitemoe", "granitemoehybrid"),
    ),
    Family(
        "starcoder2", "StarCoder2 3B, 7B, 15B", _PSM, ("<|endoftext|>", "<file_sep>"), context=16_384,
        models=("starcoder2",),
    ),
    Family("stablecode", "Stable Code 3B", _PSM, ("<|endoftext|>",), context=16_384, models=("stablelm",)),
    Family(
        "starcoder", "StarCoder, StarCoderBase 1B to 15B", _PSM, ("<|endoftext|>",), context=8192,
        models=("gpt_bigcode",),
    ),
    Family(
        "codeqwen", "CodeQwen1.5 7B", _PSM, ("<|endoftext|>",), context=65_536, models=("qwen2",), names=("codeqwen",),
    ),
    Family(
        "codellama", "CodeLlama 7B, 13B, 70B base",
        ("<s>", "▁<PRE>", PREFIX, "▁<SUF>", SUFFIX, "▁<MID>"), ("▁<EOT>", "</s>"), "<s>", context=16_384,
        models=("llama",), text_begins_bare=True,
    ),
    Family(
        "deepseek", "DeepSeek-Coder 1.3B to 33B, V2-Lite",
        ("<｜begin▁of▁sentence｜>", "<｜fim▁begin｜>", PREFIX, "<｜fim▁hole｜>", SUFFIX, "<｜fim▁end｜>"),
        ("<｜end▁of▁sentence｜>",), "<｜begin▁of▁sentence｜>", context=16_384,
        models=("llama", "deepseek_v2"),
    ),
    Family(
        "qwen2.5-coder", "Qwen2.5-Coder 0.5B to 32B", _PSM_BARS,
        ("<|endoftext|>", "<|im_end|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
        context=32_768, models=("qwen2",),
    ),
    Family(
        "codegemma", "CodeGemma 2B, 7B", ("<bos>", *_PSM_BARS), ("<|file_separator|>", "<eos>"), "<bos>", context=8192,
        models=("gemma",),
    ),
    Family(
        "codestral", "Codestral 22B", ("<s>", "[SUFFIX]", SUFFIX, "[PREFIX]", PREFIX), ("</s>",), "<s>", context=32_768,
        models=("mistral",), text_begins_bare=True,
    ),
    Family(
        "seed-coder", "Seed-Coder 8B base",
        ("<[begin▁of▁sentence]>", "<[fim-suffix]>", SUFFIX, "<[fim-prefix]>", PREFIX, "<[fim-middle]>"),
        ("<[end▁of▁sentence]>",), "<[begin▁of▁sentence]>", context=32_768, models=("llama",),
    ),
    Family(
        "aixcoder", "aiXcoder 7B",
        ("<s>", "▁<AIX-SPAN-PRE>", PREFIX, "▁<AIX-SPAN-POST>", SUFFIX, "▁<AIX-SPAN-MIDDLE>"), ("</s>",), "<s>",
        context=32_768, models=("llama",), text_begins_bare=True,
    ),
    Family("codegen", "CodeGen 350M to 16B (left to right only)", None, ("<|endoftext|>",), models=("codegen",)),
    Family("plain", "any other model (left to right only)", None, ()),
)  # fmt: skip


def by_name(name: str) -> Family:
    """The family called `name`. Raises BadRequest for another name."""
    for family in FAMILIES:
        if family.name == name:
            return family
    raise BadRequest(f"There is no prompt family called {name!r}.", f"Known: {', '.join(f.name for f in FAMILIES)}.")


def recognise(vocabulary: Container[str], traits: Traits) -> Family | None:
    """The family whose sentinels all stand in `vocabulary` and whose model type fits, or None.

    Rows are tried in the order of the table, those that carry the model's name first: several families share their
    tokens and differ only in the order.
    """
    fitting = [f for f in FAMILIES if traits.model_type in f.models and all(s in vocabulary for s in f.sentinels)]
    named = [f for f in fitting if any(part in traits.name for part in f.names)]
    unnamed = [f for f in fitting if not f.named_only]
    return next(iter(named + unnamed), None)
