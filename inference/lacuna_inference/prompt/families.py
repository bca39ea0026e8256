"""The prompt families: one table of how each published model expects the text around a hole.

A layout is a tuple of sentinel strings and the placeholders HEADER, PREFIX, SUFFIX and LINE. Every sentinel must be one
token of the model's tokenizer; `prompt/tokenizer.py` refuses other models. To add a family, add a row here and a golden
row in tests/inference/prompt/test_families.py. `recognition.py` finds the family of a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum

from lacuna_inference.errors import BadRequest
from lacuna_inference.prompt import headers
from lacuna_inference.prompt.repository import RepositoryForm


class Placeholder(Enum):
    """A part of a layout that the request's text fills."""

    HEADER = "header"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    LINE = "line"
    """The beginning of the cursor's line, which is then not part of the prefix. A layout with it is anchored."""


class Layout(StrEnum):
    """Where the prompt ends and the forced beginning of the hole starts."""

    ANCHORED = "anchored"
    """At an anchor, the start of the cursor's line: the text around it does not change while the user types, and the
    typed part of the line begins the hole (Guo et al., 2025, arXiv 2505.21889, without its training)."""
    CANONICAL = "canonical"
    """At the cursor, as the model was trained."""


class TrailingBlanks(Enum):
    """What a prompt does with the blanks before the cursor: what the model saw at the end of a prefix in training."""

    KEPT = "kept"
    """A line's indentation stays. The holes of training began at random characters (Bavarian et al., 2022, arXiv
    2207.14255) or at nodes of the syntax tree, so many prefixes ended with it, and the answer was the statement alone.
    Behind other text as LAST_HEALED: some of these models would write the blank before a word twice."""
    LAST_HEALED = "last healed"
    """The last one begins the answer, together with what follows it. Prefixes ended between two tokens, and tokenizers
    join the last blank before a word to it. This is also right for text from left to right."""
    HEALED = "healed"
    """All of them begin the answer. Holes began at the start of a line, or tokens hold a blank and several words."""


HEADER, PREFIX, SUFFIX, LINE = Placeholder.HEADER, Placeholder.PREFIX, Placeholder.SUFFIX, Placeholder.LINE
LayoutPart = str | Placeholder


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table.

    `infill` is the layout for one hole, None for models that only generate from left to right. `begin` is the one
    sentinel at the start of a left-to-right prompt. `ends` close a hole or the text; those that a tokenizer lacks are
    skipped, except the first; a family without `ends` uses the model's own end-of-text token.

    A model belongs to a family whose sentinels it has. If several families have the same ones, a word of the model's
    name among `names` decides, then its `model_type` among `models`. A family that is not `shown_by_tokens` needs one
    of these.
    """

    name: str
    published: str
    infill: tuple[LayoutPart, ...] | None
    ends: tuple[str, ...]
    begin: str | None = None
    context: int = 2048
    model_types: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    identified_by_tokens: bool = True
    header: Callable[[str | None], str] | None = None
    """What the prompt says about a file, by its path; empty if that says nothing."""
    header_sentinel: str | None = None
    """Sentinel before the header, if there is one and the tokenizer has it."""
    repository: RepositoryForm | None = None
    """How other files are shown; None, for ordinary text, if the model was not trained so, or its makers do not say."""
    doubt: str = ""
    """Why the layout may be wrong for every model of this family, as the end of a sentence with `but`."""
    mask: Callable[[int], str] | None = None
    """Sentinel of the n-th hole, for families that fill several holes in one text."""
    mixes_file_ngrams: bool = False
    """N-grams of the open file are mixed in (`lacuna_inference.in_file.ngrams`), with shares fitted to this model."""
    text_begins_bare: bool = False
    """Sentencepiece adds a blank before a text; it must be removed for the suffix."""
    trailing_blanks: TrailingBlanks = TrailingBlanks.KEPT
    """For the hole between two texts; without a text behind the cursor, KEPT becomes LAST_HEALED."""
    begin_added: bool = False
    """The published tokenizer adds `begin` before every text, and so do servers that are sent text."""

    def layout(self, wanted: Layout) -> tuple[LayoutPart, ...] | None:
        """The layout for one hole, anchored or not; None for models that only generate from left to right.

        Anchoring saves work only if the suffix follows the prefix: otherwise typing appends to the prompt anyway.
        """
        if self.infill is None or wanted is Layout.CANONICAL:
            return self.infill and tuple(part for part in self.infill if part is not LINE)
        if LINE in self.infill or not self.suffix_last:
            return self.infill
        return (*self.infill, LINE)

    @property
    def anchored_untrained(self) -> bool:
        """Whether the model was not trained with the anchored layout."""
        return self.layout(Layout.ANCHORED) != self.infill

    @property
    def blanks_left_to_right(self) -> TrailingBlanks:
        """What a prompt without a text behind the cursor does with the blanks before it."""
        kept = self.trailing_blanks is TrailingBlanks.KEPT
        return TrailingBlanks.LAST_HEALED if kept else self.trailing_blanks

    @property
    def suffix_last(self) -> bool:
        """Whether a prompt begins with the text before the hole; then it shares that with prompts for other cursors."""
        return self.infill is None or self.infill.index(SUFFIX) > self.infill.index(PREFIX)

    @property
    def sentinels(self) -> tuple[str, ...]:
        """The sentinel strings that the layouts of this family require."""
        strings = [part for part in self.infill or () if isinstance(part, str)]
        return tuple(dict.fromkeys([*([self.begin] if self.begin else []), *strings, *self.ends[:1]]))


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
        model_types=("llama",), identified_by_tokens=False, header=headers.lacuna, mixes_file_ngrams=True,
        trailing_blanks=TrailingBlanks.HEALED,
    ),
    Family(
        "incoder", "InCoder 1B, 6B", _CAUSAL_MASKING, ("<|endofmask|>", "<|endoftext|>"), "<|endoftext|>",
        model_types=("xglm",), header=headers.incoder, mask=_causal_mask,
        trailing_blanks=TrailingBlanks.HEALED,
    ),
    Family(
        "codegen2", "CodeGen2, CodeGen2.5",
        (PREFIX, "<mask_1>", SUFFIX, "<|endoftext|>", "<sep>", "<mask_1>"), ("<eom>", "<|endoftext|>"),
        trailing_blanks=TrailingBlanks.LAST_HEALED,
    ),
    Family(
        "santacoder", "SantaCoder 1.1B",
        ("<fim-prefix>", PREFIX, "<fim-suffix>", SUFFIX, "<fim-middle>"), ("<|endoftext|>",),
    ),
    Family(
        "refact", "Refact 1.6B", _SPM, ("<|endoftext|>",), context=4096,
        model_types=("gpt_refact",), names=("refact",), identified_by_tokens=False,
    ),
    Family(
        "mellum", "Mellum 4B, Mellum2", (HEADER, *_SPM), ("<|endoftext|>", "<filename>"), context=8192,
        model_types=("mellum",), names=("mellum",), identified_by_tokens=False,
        header=headers.name_line, header_sentinel="<filename>", repository=RepositoryForm("<filename>", file_end="\n"),
    ),
    Family(
        "granite", "Granite code 3B to 34B", _PSM, ("<|endoftext|>",), context=8192,
        names=("granite",), identified_by_tokens=False,
    ),
    Family("granite3", "Granite 3", _PSM, ("<|end_of_text|>",), context=131_072),
    Family(
        "granite4", "Granite 4", _PSM_BARS, ("<|end_of_text|>",), context=131_072,
        model_types=("granite", "granitemoe", "granitemoehybrid"),
    ),
    Family(
        "starcoder2", "StarCoder2 3B, 7B, 15B", _PSM, ("<|endoftext|>", "<file_sep>"), context=16_384,
        model_types=("starcoder2",), identified_by_tokens=False,
        repository=RepositoryForm("<file_sep>", "<repo_name>", path_in_prefix=True),
    ),
    Family(
        "stablecode", "Stable Code 3B", _PSM, ("<|endoftext|>",), context=16_384,
        model_types=("stablelm",), identified_by_tokens=False,
    ),
    Family(
        "codeqwen", "CodeQwen1.5 7B", _PSM, ("<|endoftext|>",), context=65_536,
        model_types=("qwen2",), names=("codeqwen",), identified_by_tokens=False,
        repository=RepositoryForm("<file_sep>", "<reponame>", "\n", file_end="\n"),
    ),
    Family(
        "starcoder", "StarCoder, StarCoderBase 1B to 15B, others with their tokens", _PSM, ("<|endoftext|>",),
        context=8192, model_types=("gpt_bigcode",),
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
        begin_added=True, repository=RepositoryForm(path="#{path}\n", file_end="\n"),
    ),
    # Chat-tuned models with these tokens get them bare, too: in the chat turn of its README, Qwen3-Coder answers with a
    # Markdown block, and bare with the hole's text (QwenLM/Qwen3-Coder, issue 543).
    Family(
        "qwen2.5-coder", "Qwen2.5-Coder 0.5B to 32B, Qwen3-Coder, Qwen3.5, others with their tokens", _PSM_BARS,
        ("<|endoftext|>", "<|im_end|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
        context=32_768, repository=RepositoryForm("<|file_sep|>", "<|repo_name|>", "\n", file_end="\n"),
    ),
    Family(
        "codegemma", "CodeGemma 2B, 7B", ("<bos>", *_PSM_BARS), ("<|file_separator|>", "<eos>"), "<bos>", context=8192,
        begin_added=True, repository=RepositoryForm(end_sentinel="<|file_separator|>"),
    ),
    Family(
        "codestral", "Codestral 22B", ("<s>", "[SUFFIX]", SUFFIX, "[PREFIX]", PREFIX), ("</s>",), "<s>", context=32_768,
        model_types=("mistral",), names=("codestral",), identified_by_tokens=False, text_begins_bare=True,
        begin_added=True,
        repository=RepositoryForm(path="+++++ {path}\n", file_end="\n", path_in_prefix=True, files_in_prefix=True),
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
        "glm", "GLM-4.5 to GLM-4.7", ("<|code_prefix|>", PREFIX, "<|code_suffix|>", SUFFIX, "<|code_middle|>"),
        ("<|endoftext|>", "<|user|>", "<|observation|>"), context=131_072,
        model_types=("glm4_moe", "glm4_moe_lite"), identified_by_tokens=False,
        doubt="its makers publish no format; this is the one that llama.cpp and Zed send",
    ),
    Family(
        "falcon-h1-coder", "Falcon-H1-Tiny-Coder 90M", ("<|prefix|>", PREFIX, "<|suffix|>", SUFFIX, "<|middle|>"), (),
        context=8192,
    ),
    Family(
        "codegen", "CodeGen 350M to 16B (left to right only)", None, ("<|endoftext|>",),
        model_types=("codegen",), identified_by_tokens=False,
    ),
    Family("plain", "any other model (left to right only)", None, (), identified_by_tokens=False),
)  # fmt: skip


def by_name(name: str) -> Family:
    """The family called `name`. Raises BadRequest for an unknown name."""
    for family in FAMILIES:
        if family.name == name:
            return family
    raise BadRequest(f"There is no prompt family called {name!r}.", f"Known: {', '.join(f.name for f in FAMILIES)}.")
