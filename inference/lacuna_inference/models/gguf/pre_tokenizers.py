"""How byte-level tokenizers in GGUF files split a text into words: one table, by the names in `tokenizer.ggml.pre`.

A GGUF file has no regular expressions, only a name for them. The expressions here split as llama.cpp does, also where
the published tokenizer of a model does otherwise. Knows nothing of vocabularies.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Regex, pre_tokenizers


@dataclass(frozen=True, slots=True)
class Splitting:
    """Each of `patterns` splits the pieces that the one before it left; what is between its matches is a piece, too.

    With `whole_words` a word that is a token becomes that token, whatever the merges say. `adds_begin` is whether a
    text begins with the BOS token if the file does not say.
    """

    patterns: tuple[str, ...]
    whole_words: bool = False
    adds_begin: bool = False

    def steps(self) -> list[pre_tokenizers.PreTokenizer]:
        """The splitting, and then the bytes of the pieces in GPT-2's alphabet."""
        splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in self.patterns]
        return [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


def _either(*alternatives: str) -> str:
    return "|".join(alternatives)


_DIGIT, _THREE_DIGITS, _LINE_END = r"\p{N}", r"\p{N}{1,3}", r"[\r\n]"
_CONTRACTION = "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
"""Spelled out, because a pattern that ignores the case of letters also takes the old long s for an s."""
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKED_WORD = r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+"
_OTHER = r" ?[^\s\p{L}\p{N}]+"
_BLANKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"

_GPT2 = _either(r"'(?:[stmd]|re|ve|ll)", r" ?\p{L}+", r" ?\p{N}+", _OTHER, r"\s+(?!\S)|\s+")
_LLAMA3 = _either(_CONTRACTION, _WORD, _THREE_DIGITS, _OTHER + r"[\r\n]*", _BLANKS)
_QWEN2 = _either(_CONTRACTION, _WORD, _DIGIT, _OTHER + r"[\r\n]*", _BLANKS)
_QWEN35 = _either(_CONTRACTION, _MARKED_WORD, _DIGIT, r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", _BLANKS)
_MINICPM5 = _either(_CONTRACTION, _WORD, r"\p{N}+", _OTHER + r"[\r\n]*", _BLANKS)
_SEED_CODER = _either(_CONTRACTION, _WORD, _DIGIT, r" ?[^\s\p{L}\p{N}\r\n]+", _BLANKS)
_BAILING = _either(_CONTRACTION, _WORD, _DIGIT, _OTHER + r"[\r\n]*", r"\s*[\r\n]|\s+(?!\S)|\s+")
_EXAONE_MOE = _either(
    _CONTRACTION, r"[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+", _DIGIT, _OTHER + r"[\r\n/]?",
    r"\s*[\r\n]|\s+(?!\S)|\s+",
)  # fmt: skip

_BEFORE_SMALL, _AFTER_CAPITAL = r"[\p{L}&&[^a-z]]", r"[\p{L}&&[^A-Z]]"
_CAPITALIZED = rf"[^\r\n\p{{L}}\p{{N}}]?(?:{_BEFORE_SMALL}*{_AFTER_CAPITAL}+|{_BEFORE_SMALL}+{_AFTER_CAPITAL}*)"
"""A word that ends before a capital. Letters outside ASCII are both large and small."""
_GPT4O = _either(f"{_CAPITALIZED}(?:{_CONTRACTION})?", _THREE_DIGITS, _OTHER + r"[\r\n/]*", _BLANKS)
_TEKKEN = _either(_CAPITALIZED, _DIGIT, _OTHER + r"[\r\n/]*", _BLANKS)

_HAN = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002ebef"
    "\U0002f800-\U0002fa1f"
)
_KIMI = _either(
    f"[{_HAN}]+", rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}&&[^{_HAN}]]+(?:{_CONTRACTION})?", _THREE_DIGITS,
    _OTHER + r"[\r\n]*", _BLANKS,
)  # fmt: skip

_ASCII_PUNCTUATION = r"[!-/:-@\[-`{-~]"
_DEEPSEEK_V3 = _either(
    f"{_ASCII_PUNCTUATION}[A-Za-z]+", r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+", r" ?[\p{P}\p{S}]+[\r\n]*", _BLANKS
)
_DEEPSEEK_CJK = "[\u0800-\u9fa5\uac00-\ud7ff&&\\S]+"
"""The range of the published pattern contains blanks, and llama.cpp finds none of them by it."""
_DEEPSEEK_LETTERS = (
    "A-Za-z\xb5\xc0-\xd6\xd8-\xf6\xf8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d"
    "\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5"
    "\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15"
    "\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc"
    "\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107"
    "\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149"
    "\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f"
    "\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    "\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_DEEPSEEK_PUNCTUATION = "[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3001\u3002]"
_BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"

_TABLE = (
    ("default", Splitting((r"[\p{P}$+<=>^~|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"))),
    ("gpt-2 phi-2 mpt olmo jais trillion exaone4 granite-docling jina-es jina-de jina-v2-es jina-v2-de jina-v1-en "
     "jina-v2-code roberta-bpe gigachat a.x-4.0 mellum modern-bert", Splitting((_GPT2,))),
    ("starcoder refact command-r smollm codeshell exaone minerva-7b mellum2", Splitting((_DIGIT, _GPT2))),
    ("llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     Splitting((_LLAMA3,), whole_words=True, adds_begin=True)),
    ("dbrx smaug-bpe chatglm-bpe glm4 glm5", Splitting((_LLAMA3,))),
    ("qwen2 deepseek-r1-qwen megrez stablelm2 hunyuan solar-open grok-2 kormo f2llmv2", Splitting((_QWEN2,))),
    ("qwen35", Splitting((_QWEN35,))),
    ("minicpm5", Splitting((_THREE_DIGITS, _MINICPM5), whole_words=True)),
    ("laguna", Splitting((r"[^\n]+|\n+", _QWEN2))),
    ("ufakzeka", Splitting((_either(_WORD, _DIGIT, _OTHER + r"[\r\n]*", _BLANKS),))),
    ("bailingmoe bailingmoe2 llada-moe", Splitting((_BAILING,))),
    ("seed-coder", Splitting((_SEED_CODER,))),
    ("exaone-moe", Splitting((_EXAONE_MOE,))),
    ("gpt-4o llama4 kanana2 talkie minimax-m2", Splitting((_GPT4O,))),
    ("tekken", Splitting((_TEKKEN,), whole_words=True, adds_begin=True)),
    ("kimi-k2", Splitting((_KIMI,))),
    ("deepseek-coder", Splitting((_LINE_END, r"\s?\p{L}+", r"\s?\p{P}+", _DEEPSEEK_CJK, _DIGIT))),
    ("deepseek-llm", Splitting((_LINE_END, rf"\s?[{_DEEPSEEK_LETTERS}]+", rf"\s?{_DEEPSEEK_PUNCTUATION}+", r"\s+\z",
                                _DEEPSEEK_CJK, r"\p{N}+"))),
    ("deepseek-v3 hunyuan-dense joyai-llm hy_v4",
     Splitting((_THREE_DIGITS, "[\u3040-\u30ff\u4e00-\u9fa5]+", _DEEPSEEK_V3))),
    ("falcon", Splitting((r"[\p{P}$+<=>^~|`]+", _GPT2, "[0-9][0-9][0-9]"))),
    ("bloom poro-chat gpt3-finnish", Splitting((_BLOOM,))),
    ("viking", Splitting((_BLOOM, _DIGIT))),
)  # fmt: skip

SPLITTINGS = {name: splitting for names, splitting in _TABLE for name in names.split()}
"""By the names in files. GPT-2's is what an unknown name is closest to."""
