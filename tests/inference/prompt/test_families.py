"""Golden prompts: token ids written by hand for every family. The prefix is 'a' and a line end, the suffix 'b'."""

from __future__ import annotations

import re

import pytest
from helpers import byte_tokenizer, family_text

from lacuna_inference.api import ContextFile, Request
from lacuna_inference.errors import BadRequest, ModelUnusable
from lacuna_inference.prompt.families import FAMILIES, Family, Layout, by_name
from lacuna_inference.prompt.planner import PromptSpec, plan
from lacuna_inference.prompt.recognition import Traits, doubt, infill_tokens, is_chat_tuned, recognize
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_inference.remote.prompt import as_text

A, B, C, D, N = 64, 65, 66, 67, 198  # 'a' to 'd' and the line end in the sorted byte-level alphabet
# the sentinels of each family follow the 256 bytes in the order in which helpers.family_text adds them
GOLDEN = {
    "lacuna": [256, 257, B, 258, A, N, 259],
    "incoder": [256, A, N, 257, B, 258, 257],
    "codegen2": [A, N, 256, B, 257, 258, 256],
    "santacoder": [256, A, N, 257, B, 258],
    "refact": [256, B, 257, A, N, 258],
    "mellum": [256, B, 257, A, N, 258],
    "granite": [256, A, N, 257, B, 258],
    "granite3": [256, A, N, 257, B, 258],
    "granite4": [256, A, N, 257, B, 258],
    "starcoder2": [256, A, N, 257, B, 258],
    "stablecode": [256, A, N, 257, B, 258],
    "starcoder": [256, A, N, 257, B, 258],
    "codeqwen": [256, A, N, 257, B, 258],
    "codellama": [256, 257, A, N, 258, B, 259],
    "deepseek": [256, 257, A, N, 258, B, 259],
    "qwen2.5-coder": [256, A, N, 257, B, 258],
    "codegemma": [256, 257, A, N, 258, B, 259],
    "codestral": [256, 257, B, 258, A, N],
    "seed-coder": [256, 257, B, 258, A, N, 259],
    "aixcoder": [256, 257, A, N, 258, B, 259],
    "glm": [256, A, N, 257, B, 258],
    "falcon-h1-coder": [256, A, N, 257, B, 258],
    "codegen": [A, N],
    "plain": [A, N],
}


def test_every_family_has_a_golden_prompt() -> None:
    assert set(GOLDEN) == {family.name for family in FAMILIES}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_prompt(name: str) -> None:
    for layout in Layout:
        prompt = plan(PromptSpec(("a\n", "b"), None, 16, layout=layout), family_text(name), 128)
        assert (list(prompt.ids), prompt.healed_prefix) == (GOLDEN[name], "")


ANCHORED = {
    "lacuna": [256, 257, B, 258, A, N, 259, C, D],
    "incoder": [256, A, N, 257, B, 258, 257, C, D],
    "starcoder2": [256, A, N, 257, B, 258, C, D],
    "deepseek": [256, 257, A, N, 258, B, 259, C, D],
    "mellum": [256, B, 257, A, N, C, D, 258],
    "codestral": [256, 257, B, 258, A, N, C, D],
    "codegen": [A, N, C, D],
}
CANONICAL = {
    "lacuna": [256, 257, B, 258, A, N, C, D, 259],
    "incoder": [256, A, N, C, D, 257, B, 258, 257],
    "starcoder2": [256, A, N, C, D, 257, B, 258],
    "mellum": ANCHORED["mellum"],
    "codestral": ANCHORED["codestral"],
    "codegen": ANCHORED["codegen"],
}


@pytest.mark.parametrize(("layout", "golden"), [(Layout.ANCHORED, ANCHORED), (Layout.CANONICAL, CANONICAL)])
def test_the_line_follows_the_anchor_or_ends_the_prefix(layout: Layout, golden: dict[str, list[int]]) -> None:
    for name, expected in golden.items():
        prompt = plan(PromptSpec(("a\ncd e", "b"), None, 16, layout=layout), family_text(name, words=True), 128)
        assert (list(prompt.ids), prompt.healed_prefix) == (expected, " e"), name


SPACE = 220  # the blank in the sorted byte-level alphabet


@pytest.mark.parametrize(
    ("name", "prefix", "layout", "ids", "healed_prefix"),
    [
        ("starcoder", "a\n  ", Layout.CANONICAL, [256, A, N, SPACE, SPACE, 257, B, 258], ""),
        ("starcoder", "a\n  ", Layout.ANCHORED, [256, A, N, SPACE, SPACE, 257, B, 258], ""),
        ("starcoder", "a\n  c", Layout.CANONICAL, [256, A, N, SPACE, SPACE, 257, B, 258], "c"),
        ("starcoder", "a\n  c", Layout.ANCHORED, [256, A, N, SPACE, SPACE, 257, B, 258], "c"),
        ("starcoder", "a\n c ", Layout.CANONICAL, [256, A, N, SPACE, C, 257, B, 258], " "),
        ("starcoder", "a\n c ", Layout.ANCHORED, [256, A, N, SPACE, 257, B, 258, C], " "),
        ("seed-coder", "a\n  ", Layout.ANCHORED, [256, 257, B, 258, A, N, SPACE, SPACE, 259], ""),
        ("codegen2", "a\n  ", Layout.CANONICAL, [A, N, SPACE, 256, B, 257, 258, 256], " "),
        ("incoder", "a\n  ", Layout.ANCHORED, [256, A, N, 257, B, 258, 257], "  "),
        ("lacuna", "a\n  ", Layout.ANCHORED, [256, 257, B, 258, A, N, 259], "  "),
        ("codegen", "a\n  ", Layout.ANCHORED, [A, N, SPACE], " "),
    ],
)
def test_blanks_before_the_cursor_are_where_the_model_saw_them_in_training(
    name: str, prefix: str, layout: Layout, ids: list[int], healed_prefix: str
) -> None:
    prompt = plan(PromptSpec((prefix, "b"), None, 16, layout=layout), family_text(name, words=True), 128)
    assert (list(prompt.ids), prompt.healed_prefix) == (ids, healed_prefix)


def test_without_a_suffix_the_last_blank_is_healed_in_every_family_that_keeps_blanks() -> None:
    prompt = plan(PromptSpec(("a\n  ",), None, 16), family_text("starcoder", words=True), 128)
    assert (list(prompt.ids), prompt.healed_prefix) == ([A, N, SPACE], " ")


def test_incoder_fills_two_holes_in_one_text() -> None:
    text = family_text("incoder")
    prompt = plan(PromptSpec(("a", "b", "c"), None, 16), text, 128)
    masks = [text.sentinel(f"<|mask:{i}|>") for i in range(3)]
    begin, end = text.sentinel("<|endoftext|>"), text.sentinel("<|endofmask|>")
    assert list(prompt.ids) == [begin, A, masks[0], B, masks[1], C, masks[2], masks[0]]
    assert prompt.between == ((end, masks[1]),)


def test_incoder_has_exactly_one_begin_of_text_even_with_a_header() -> None:
    text = family_text("incoder")
    ids = plan(PromptSpec(("a\n", "b"), "pkg/x.py", 16), text, 128).ids
    assert ids.count(text.sentinel("<|endoftext|>")) == 1
    assert text.decode(ids[1 : ids.index(text.sentinel("<|mask:0|>"))]) == "<| file ext=.py |>\na\n"


@pytest.mark.parametrize(("path", "name"), [("pkg/x.py", "x.py"), ("C:\\pkg\\x.go", "x.go"), ("n.ipynb", "n.py")])
def test_mellum_is_told_the_file_s_name_before_everything_else(path: str, name: str) -> None:
    text = family_text("mellum")
    ids = plan(PromptSpec(("a\n", "b"), path, 16), text, 128).ids
    assert ids[0] == text.sentinel("<filename>")
    assert text.decode(ids[1 : -len(GOLDEN["mellum"])]) == f"{name}\n"
    assert list(ids[-len(GOLDEN["mellum"]) :]) == GOLDEN["mellum"]
    request = Request(("a\n", "b"), path=path)
    assert as_text(request, text.family, 128) == f"<filename>{name}\n<fim_suffix>b<fim_prefix>a\n<fim_middle>"


@pytest.mark.parametrize("path", [None, "", "a\nb"])
def test_mellum_without_a_file_s_name_has_no_header(path: str | None) -> None:
    text = family_text("mellum")
    assert list(plan(PromptSpec(("a\n", "b"), path, 16), text, 128).ids) == GOLDEN["mellum"]
    assert as_text(Request(("a\n", "b"), path=path), text.family, 128) == "<fim_suffix>b<fim_prefix>a\n<fim_middle>"


def in_repository(family: Family) -> str:
    """The prompt for main.py in the repository lib, which also has the file util.py, with sentinels spelled out."""
    form = family.repository
    assert form is not None
    extra = [one for one in (form.name_sentinel, form.file_sentinel, form.end_sentinel) if one]
    text = family_text(family.name, extra=extra)
    files = (ContextFile("util.py", "u = 1"),)
    spec = PromptSpec(("a\n", "b"), "main.py", 16, Layout.CANONICAL, files=files, repository="lib")
    spelled = {number: name for name, number in text.specials.items()}
    return "".join(spelled.get(token) or text.decode([token]) for token in plan(spec, text, 1024).ids)


REPOSITORIES = {
    "qwen2.5-coder": "<|repo_name|>lib\n<|file_sep|>util.py\nu = 1\n<|file_sep|>main.py\n"
    "<|fim_prefix|>a\n<|fim_suffix|>b<|fim_middle|>",
    "codeqwen": "<reponame>lib\n<file_sep>util.py\nu = 1\n<file_sep>main.py\n<fim_prefix>a\n<fim_suffix>b<fim_middle>",
    "starcoder2": "<repo_name>lib<file_sep>util.py\nu = 1<file_sep><fim_prefix>main.py\na\n<fim_suffix>b<fim_middle>",
    "mellum": "<filename>util.py\nu = 1\n<filename>main.py\n<fim_suffix>b<fim_prefix>a\n<fim_middle>",
    "deepseek": "<｜begin▁of▁sentence｜>#util.py\nu = 1\n#main.py\n<｜fim▁begin｜>a\n<｜fim▁hole｜>b<｜fim▁end｜>",
    "codegemma": "<bos>util.py\nu = 1<|file_separator|>main.py\n<|fim_prefix|>a\n<|fim_suffix|>b<|fim_middle|>",
    "codestral": "<s>[SUFFIX]b[PREFIX]+++++ util.py\nu = 1\n+++++ main.py\na\n",
}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_golden_repository_form(family: Family) -> None:
    assert (family.repository is not None) == (family.name in REPOSITORIES)
    if family.repository is not None:
        assert in_repository(family) == REPOSITORIES[family.name]


def test_left_to_right_begins_with_the_family_s_sentinel() -> None:
    text = family_text("deepseek")
    assert list(plan(PromptSpec(("a\n",), None, 16), text, 128).ids) == [256, A, N]


@pytest.mark.parametrize(
    ("family", "model_type", "name"),
    [
        ("lacuna", "llama", "bundled"),
        ("incoder", "xglm", "facebook/incoder-1b"),
        ("codegen2", "codegen", "salesforce/codegen2-1b"),
        ("santacoder", "gpt_bigcode", "bigcode/gpt_bigcode-santacoder"),
        ("refact", "gpt_bigcode", "smallcloudai/refact-1_6b-fim"),
        ("mellum", "llama", "jetbrains/mellum-4b-base"),
        ("granite", "llama", "ibm-granite/granite-3b-code-base"),
        ("granite4", "granitemoehybrid", "ibm-granite/granite-4.0-tiny"),
        ("starcoder2", "starcoder2", "bigcode/starcoder2-3b"),
        ("stablecode", "stablelm", "stabilityai/stable-code-3b"),
        ("starcoder", "gpt_bigcode", "bigcode/starcoderbase-1b"),
        ("codeqwen", "qwen2", "qwen/codeqwen1.5-7b"),
        ("codellama", "llama", "codellama/codellama-7b-hf"),
        ("deepseek", "llama", "deepseek-ai/deepseek-coder-1.3b-base"),
        ("qwen2.5-coder", "qwen2", "qwen/qwen2.5-coder-1.5b"),
        ("codegemma", "gemma", "google/codegemma-2b"),
        ("codestral", "mistral", "mistralai/codestral-22b-v0.1"),
        ("seed-coder", "llama", "bytedance-seed/seed-coder-8b-base"),
        ("aixcoder", "llama", "aixcoder/aixcoder-7b-base"),
        ("glm", "glm4_moe", "zai-org/glm-4.5-air"),
        ("falcon-h1-coder", "falcon_h1", "tiiuae/falcon-h1-tiny-coder-90m"),
    ],
)
def test_family_is_recognized_from_tokens_and_config(family: str, model_type: str, name: str) -> None:
    found = recognize(set(by_name(family).sentinels), Traits(model_type, name))
    assert found is not None
    assert found.name == family


# tokens in published vocabularies besides the sentinels that all models of a kind have
QWEN = ["<|endoftext|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"]
QWEN += ["<|repo_name|>", "<|file_sep|>"]
STARCODER = ["<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<filename>", "<reponame>"]
DEEPSEEK = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"]
GRANITE4 = ["<|end_of_text|>", *QWEN[2:6], "<|filename|>", "<|reponame|>"]
CODEGEMMA = ["<bos>", "<eos>", *QWEN[2:5], "<|file_separator|>"]
MASKS = ["<|endoftext|>", "<|mask:0|>", "<|mask:1|>", "<|mask:2|>", "<|endofmask|>"]
GLM = ["<|endoftext|>", "<|user|>", "<|code_prefix|>", "<|code_middle|>", "<|code_suffix|>"]
MISTRAL = ["<s>", "</s>", "[PREFIX]", "[MIDDLE]", "[SUFFIX]"]


@pytest.mark.parametrize(
    ("vocabulary", "model_type", "name", "family"),
    [
        *((QWEN, kind, "a", "qwen2.5-coder") for kind in ("qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_next")),
        *((QWEN, kind, "a", "qwen2.5-coder") for kind in ("qwen3_5", "qwen3_5_moe", "glm4_moe", "mellum", "new")),
        *((QWEN, kind, "a", "qwen2.5-coder") for kind in ("deepseek_v4", "llama", "gpt_oss", "iquestcoder")),
        *((DEEPSEEK, kind, "a", "deepseek") for kind in ("llama", "deepseek_v2", "deepseek_v3", "deepseek_v4", "new")),
        (STARCODER, "mellum", "a", "mellum"),
        (STARCODER, "llama", "mellum-4b-sft-python", "mellum"),
        (STARCODER, "gpt_bigcode", "a", "starcoder"),
        (STARCODER, "starcoder2", "a", "starcoder2"),
        (STARCODER, "stablelm", "a", "stablecode"),
        (STARCODER, "qwen2", "a", "codeqwen"),
        (STARCODER, "llama", "a", "starcoder"),
        (STARCODER, "gpt_bigcode", "granite-20b-code-base", "granite"),
        (STARCODER, "gpt_bigcode", "refactoring-helper", "starcoder"),
        ([token.replace("endof", "end_of_") for token in STARCODER], "granite", "granite-3.3-8b-base", "granite3"),
        ([*QWEN, "<|end_of_text|>"], "granitemoehybrid", "a", "granite4"),
        (GRANITE4, "granite", "granite-4.0-micro-base", "granite4"),
        (GRANITE4, "new", "a", "granite4"),
        (CODEGEMMA, "gemma", "a", "codegemma"),
        (CODEGEMMA, "new", "a", "codegemma"),
        (QWEN, "qwen3_moe", "qwen3-coder-30b-a3b-instruct", "qwen2.5-coder"),
        (MASKS, "llama", "a", "lacuna"),
        (MASKS, "xglm", "a", "incoder"),
        (MASKS, "new", "a", "incoder"),
        (MISTRAL, "mistral", "a", "codestral"),
        (MISTRAL, "ministral", "codestral-25.01", "codestral"),
        (["<|endoftext|>"], "codegen", "a", "codegen"),
        (STARCODER, "codegen", "a", "starcoder"),
    ],
)
def test_tokens_decide_or_the_model_type_where_they_are_shared(
    vocabulary: list[str], model_type: str, name: str, family: str
) -> None:
    found = recognize(vocabulary, Traits(model_type, name))
    assert found is not None
    assert found.name == family


@pytest.mark.parametrize(
    ("name", "chat_tuned"),
    [
        ("a.gguf qwen2.5 coder 0.5b instruct awq", True),
        ("codegemma-7b-it", True),
        ("deepseek-coder-6.7b-instruct", True),
        ("codellama-7b", False),
        ("instructions-7b-fitted", False),
    ],
)
def test_models_tuned_for_chat_are_known_by_their_names(name: str, chat_tuned: bool) -> None:
    assert is_chat_tuned(Traits("llama", name)) is chat_tuned


@pytest.mark.parametrize(
    ("vocabulary", "model_type", "name"),
    [
        (QWEN, "llama", "opencoder-1.5b-base"),
        (STARCODER, "mpt", "replit-code-v1_5-3b"),
        (MISTRAL, "mamba2", "a"),
        (MISTRAL, "mistral", "mamba-codestral-7b-v0.1"),
    ],
)
def test_models_not_trained_to_infill_are_left_to_right(vocabulary: list[str], model_type: str, name: str) -> None:
    traits = Traits(model_type, name)
    assert recognize(vocabulary, traits) is None
    assert doubt(None, vocabulary, traits) is None


@pytest.mark.parametrize(
    ("vocabulary", "model_type", "expected"),
    [
        (GLM, "chatglm", r"\(<\|code_middle\|>, <\|code_prefix\|>, <\|code_suffix\|>\) belong to no known family"),
        (GLM, "glm4_moe", "its makers publish no format"),
        (["<|pre|>", "<|suf|>", "<|mid|>"], "llama", "belong to no known family"),
        (MISTRAL, "mixtral", r"\[MIDDLE\], \[PREFIX\], \[SUFFIX\]"),
        (DEEPSEEK[1:], "qwen2", "<｜fim▁begin｜>"),
        (STARCODER[1:], "codegen", "<fim_middle>"),
        (STARCODER, "llama", "refact and mellum share its tokens"),
        (STARCODER, "gpt_bigcode", None),
        (QWEN, "qwen3_moe", None),
        (MASKS, "llama", None),
        (["<|endoftext|>", "<fim>", "prefix", "<code>", "(PRE)"], "gpt2", None),
    ],
)
def test_uncertain_recognition_is_reported(vocabulary: list[str], model_type: str, expected: str | None) -> None:
    traits = Traits(model_type, "a")
    found = doubt(recognize(vocabulary, traits), vocabulary, traits)
    assert (found is None) == (expected is None)
    assert expected is None or re.search(expected, found or "")


def test_every_infilling_family_has_tokens_that_look_like_infilling() -> None:
    for family in FAMILIES:
        looking = infill_tokens([*family.sentinels, "<sep>", "<eom>"])
        assert bool(looking) == (family.infill is not None), family.name


def test_codegen_is_recognized_without_infill_tokens() -> None:
    found = recognize({"<|endoftext|>"}, Traits("codegen", "salesforce/codegen-350m-mono"))
    assert found is not None
    assert (found.name, found.infill) == ("codegen", None)


def test_unknown_tokens_are_not_a_family() -> None:
    assert recognize({"<|endoftext|>"}, Traits("gpt2", "gpt2")) is None


def test_a_split_sentinel_is_rejected_with_a_clear_message() -> None:
    with pytest.raises(ModelUnusable, match=r"'<fim_prefix>' as one token.*--family"):
        PromptTokenizer(byte_tokenizer(["<|endoftext|>"]), by_name("starcoder"))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(BadRequest, match=r"'starcodr'.*starcoder2"):
        by_name("starcodr")
