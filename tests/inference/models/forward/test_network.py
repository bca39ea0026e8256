"""The own forward against that of transformers, on random weights of every architecture that it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers import save_tiny_model, tiny_model

from lacuna_inference.api import ModelOptions
from lacuna_inference.engine import assemble
from lacuna_inference.errors import BadRequest, ModelUnusable
from lacuna_inference.forward import Step
from lacuna_inference.models import forward_choice, loader
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.forward import linear, quantized, single, static
from lacuna_inference.models.forward.network import OwnForward
from lacuna_inference.models.forward.static import StaticForward
from lacuna_inference.models.loading import sources
from lacuna_lab.evaluation.scoring import logprobs

CONTEXT = 64
IDS = [7, 12, 31, 5, 99, 250, 18, 44, 3, 61, 73, 120, 8, 9, 10, 200, 201, 6, 7, 8]
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 1e4}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
    "rope_theta": 1e4,
}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0 + 0.1 * number for number in range(8)],
    "long_factor": [1.5 + 0.7 * number for number in range(8)],
    "original_max_position_embeddings": 16,
    "rope_theta": 1e4,
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama with untied head": ("llama", {"tie_word_embeddings": False}),
    "llama with tied head": ("llama", {"tie_word_embeddings": True}),
    "llama with biases": ("llama", {"attention_bias": True}),
    "llama with a longer context": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e5}},
    ),
    "llama without groups": ("llama", {"num_key_value_heads": 4}),
    "llama scaled as Llama 3.1": ("llama", {"rope_parameters": LLAMA3}),
    "llama scaled by YaRN": ("llama", {"rope_parameters": YARN}),
    "llama scaled by YaRN as DeepSeek does": (
        "llama",
        {"rope_parameters": {**YARN, "mscale": 0.7, "mscale_all_dim": 1.1, "beta_fast": 16, "truncate": False}},
    ),
    "llama scaled by YaRN with a magnitude": ("llama", {"rope_parameters": {**YARN, "attention_factor": 1.25}}),
    "llama scaled by LongRoPE": ("llama", {"rope_parameters": LONGROPE}),
    "llama within LongRoPE's original context": (
        "llama",
        {"rope_parameters": {**LONGROPE, "original_max_position_embeddings": CONTEXT}},
    ),
    "llama scaled dynamically": (
        "llama",
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
    ),
    "mistral": ("mistral", {}),
    "qwen2": ("qwen2", {}),
    "qwen2 scaled by YaRN": ("qwen2", {"rope_parameters": YARN}),
    "qwen3": ("qwen3", {}),
    "qwen3 with biases and YaRN": ("qwen3", {"attention_bias": True, "rope_parameters": YARN}),
    "granite": ("granite", {}),
    "granite with biases and a tied head": ("granite", {"attention_bias": True, "tie_word_embeddings": True}),
    "granite 4, dense": ("granitemoehybrid", {}),
    "granite 4, dense, without positions": ("granitemoehybrid", {"position_embedding_type": None}),
    "gemma": ("gemma", {}),
    "gemma with one key head": ("gemma", {"num_key_value_heads": 1, "tie_word_embeddings": False}),
    "starcoder2": ("starcoder2", {}),
    "starcoder2 scaled by YaRN": ("starcoder2", {"rope_parameters": YARN}),
    "gpt_bigcode": ("gpt_bigcode", {}),
    "gpt_bigcode without shared keys": ("gpt_bigcode", {"multi_query": False, "n_inner": 96}),
    "gpt_bigcode without scaled attention": (
        "gpt_bigcode",
        {"scale_attn_weights": False, "tie_word_embeddings": False},
    ),
    "xglm": ("xglm", {}),
    "xglm of odd width": ("xglm", {"d_model": 60, "scale_embedding": False}),
    "codegen": ("codegen", {}),
}


def same(name: str, folder: Path, dtype: torch.dtype = torch.float32) -> tuple[Any, OwnForward]:
    """The library's model and the own forward with the same weights."""
    kind, changed = VARIANTS[name]
    model = tiny_model(kind, **changed)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    found = sources.find(str(folder))
    assert registry.why_not_supported(found, CONTEXT) is None
    return model, registry.read(found, registry.ForwardSpec(dtype, torch.device("cpu"), CONTEXT))


def full_logits(model: Any, ids: list[int]) -> torch.Tensor:
    """The logits of `ids` within a text of `CONTEXT` tokens, for which LongRoPE's divisors are those of long texts."""
    padded = [*ids, *[0] * (CONTEXT - len(ids))]
    with torch.inference_mode():
        return model(torch.tensor([padded]), position_ids=torch.arange(CONTEXT)[None]).logits[0, : len(ids)]


def same_logits(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether they differ by at most 1e-5 of the largest: which kernels multiply in fp32 depends on the processor."""
    return bool((found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max())))


def check_every_kind_of_step(model: Any, forward: OwnForward | StaticForward) -> None:
    kv_cache: Any = forward.new_kv_cache()
    held: list[int] = []

    def check(ids: list[int], rows: int = 1) -> None:
        logits = forward.step(ids, kv_cache, rows)
        held.extend(ids)
        assert kv_cache.length == len(held)
        assert same_logits(logits, full_logits(model, held)[-rows:])

    check(IDS)
    check([4])
    check([4, 5])
    check(IDS[:9], rows=9)
    kv_cache.rollback(11)
    del held[11:]
    check([77])
    check(IDS, rows=3)
    check(IDS)
    check(IDS[: CONTEXT - len(held) - 1])
    check([1])  # the last position of the context
    kv_cache.rollback(0)
    held.clear()
    check(IDS[::-1], rows=20)


@pytest.mark.parametrize("name", list(VARIANTS))
def test_logits_equal_transformers_after_every_kind_of_step(name: str, tmp_path: Path) -> None:
    check_every_kind_of_step(*same(name, tmp_path))


@pytest.mark.parametrize("name", list(VARIANTS))
def test_in_place_single_token_steps_give_the_same_logits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "_fastest", lambda _: linear.Tuning(linear.columns, linear.plain, 0))
    model, forward = same(name, tmp_path)
    kind, changed = VARIANTS[name]
    in_place = (
        kind in ("llama", "mistral", "qwen3", "granite", "granitemoehybrid") and forward.network.rotation is not None
    )
    in_place &= not changed.get("attention_bias")
    assert (single.obstacle(forward.network) is None) == in_place == (forward._single is not None)
    check_every_kind_of_step(model, forward)


@pytest.mark.parametrize("name", list(VARIANTS))
@pytest.mark.parametrize("max_draft_tokens", [0, 3])
def test_steps_of_fixed_shapes_give_the_same_logits(name: str, max_draft_tokens: int, tmp_path: Path) -> None:
    """Run eagerly, as no CUDA graph can be recorded here: the same step, run instead of replayed."""
    model, forward = same(name, tmp_path)
    check_every_kind_of_step(model, StaticForward(forward.network, max_draft_tokens, lambda run: run))


def test_recorded_steps_serve_several_kv_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "MIN_KEY_LENGTH", 16)
    model, plain = same("llama", tmp_path)
    forward = StaticForward(plain.network, 3, lambda run: run)
    texts = {forward.new_kv_cache(): IDS[:5], forward.new_kv_cache(): IDS[5:], forward.new_kv_cache(): IDS[::-1]}
    for kv_cache, ids in texts.items():
        forward.step(ids, kv_cache)
    for _ in range(2):
        for kv_cache, ids in texts.items():
            logits = forward.step([9, 8], kv_cache, 2)
            assert same_logits(logits, full_logits(model, [*ids, 9, 8])[-2:])
            assert kv_cache.rollback(len(ids)) == len(ids)


@pytest.mark.parametrize("name", ["llama", "qwen3", "granite", "gemma", "gpt_bigcode"])
def test_a_compiled_step_gives_the_same_logits(name: str, tmp_path: Path) -> None:
    """Traced as torch.compile traces it; the output of its compiler is not tested here."""
    model, forward = same(name, tmp_path)

    def traced(run: static.Run) -> static.Run:
        compiled: static.Run = torch.compile(run, backend="eager", dynamic=False, fullgraph=True)
        return compiled

    check_every_kind_of_step(model, StaticForward(forward.network, 0, traced))


def test_a_step_that_cannot_be_recorded_is_logged_and_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, forward = same("llama", tmp_path)
    assert registry.accelerate(forward, "auto") == (forward, "own")
    assert registry.accelerate(forward, "none") == (forward, "own")
    assert not caplog.records
    if not torch.cuda.is_available():
        assert registry.accelerate(forward, "graphs") == (forward, "own")
        assert "unrecorded" in caplog.text


def test_returned_logits_are_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_fastest", lambda _: linear.Tuning(linear.columns, linear.plain, 0))
    _, forward = same("llama", tmp_path)
    one, other = forward.new_kv_cache(), forward.new_kv_cache()
    forward.step(IDS, one)
    forward.step(IDS[::-1], other)
    first = forward.step([5], one)
    kept = first.clone()
    forward.step([6], other)
    assert torch.equal(first, kept)


@pytest.mark.parametrize("name", list(VARIANTS))
@pytest.mark.parametrize("kernel", [linear.plain, linear.columns, linear.packed])
def test_every_kernel_gives_the_same_logits(
    name: str, kernel: linear.Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernel is linear.packed and not linear.can_pack(torch.float32):
        pytest.skip("this build of torch has no oneDNN")
    monkeypatch.setattr(linear, "_fastest", lambda _: linear.Tuning(kernel, kernel, 0))
    model, forward = same(name, tmp_path)
    kv_cache = forward.new_kv_cache()
    for ids in (IDS[:7], IDS[7:8], IDS[8:11], IDS[11:13]):
        logits = forward.step(ids, kv_cache)
    assert same_logits(logits[0], full_logits(model, IDS[:13])[-1])


def test_a_large_model_keeps_its_weights_in_one_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "MAX_TWO_LAYOUTS_BYTES", 0)
    layers = [linear.Linear(torch.eye(8)), linear.Linear(torch.eye(8))]
    tuning = linear.tune(layers)
    if linear.can_pack(torch.float32):
        assert tuning.decode_kernel is tuning.batch_kernel is linear.packed
        assert layers[0].decode_product is layers[0].batch_product
    assert torch.equal(layers[0](torch.ones(1, 8)), torch.ones(1, 8))


def test_without_packing_there_is_still_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "can_pack", lambda _: False)
    layer = linear.Linear(torch.eye(8), torch.ones(8))
    assert linear.tune([layer]).decode_kernel is not linear.packed
    for rows in (1, 2, 5):
        assert torch.equal(layer(torch.ones(rows, 8)), torch.full((rows, 8), 2.0))


def test_logprobs_are_those_of_a_full_forward(tmp_path: Path) -> None:
    model, forward = same("llama", tmp_path)
    expected = full_logits(model, IDS)[:-1].log_softmax(-1).gather(1, torch.tensor(IDS[1:])[:, None])[:, 0]
    assert (logprobs(forward, IDS) - expected).abs().max() <= 1e-5


def test_a_kv_cache_takes_the_memory_of_its_longest_text(tmp_path: Path) -> None:
    _, forward = same("llama", tmp_path)
    kv_cache = forward.new_kv_cache()
    assert kv_cache.nbytes == 0
    forward.step(list(range(6)), kv_cache)
    expected = kv_cache.keys_values.nbytes * 6 // CONTEXT
    assert kv_cache.nbytes == expected
    kv_cache.rollback(2)
    assert kv_cache.nbytes == expected


def test_kv_caches_are_independent(tmp_path: Path) -> None:
    model, forward = same("qwen2", tmp_path)
    one, two = forward.new_kv_cache(), forward.new_kv_cache()
    forward.step(IDS[:5], one)
    forward.step(IDS[5:9], two)
    logits = forward.step(IDS[9:12], one)
    assert same_logits(logits[0], full_logits(model, IDS[:5] + IDS[9:12])[-1])


@pytest.mark.parametrize("name", ["llama", "qwen3", "granite", "gemma", "starcoder2", "gpt_bigcode", "xglm", "codegen"])
def test_half_precision_stays_near(name: str, tmp_path: Path) -> None:
    model, forward = same(name, tmp_path, torch.bfloat16)
    expected = full_logits(model, IDS)
    logits = forward.step(IDS, forward.new_kv_cache(), len(IDS))
    assert logits.dtype is torch.bfloat16
    assert (logits.float() - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize(("kind", "max_divergence", "same_top"), [("int8", 5e-3, 0.95), ("int4", 0.2, 0.75)])
def test_quantized_weights_stay_near_and_report_their_dtype(kind: str, max_divergence: float, same_top: float) -> None:
    exact, quantized = (
        assemble.load_model(ModelOptions(device="cpu", quantization=one), lambda *_: None) for one in ("none", kind)
    )
    assert (exact.dtype, quantized.dtype) == ("float32", kind)
    ids = exact.decoder.tokenizer.encode(Path(loader.__file__).read_text())[:500]
    logits = [m.forward.step(ids, m.forward.new_kv_cache(), 400).float().log_softmax(-1) for m in (exact, quantized)]  # type: ignore[union-attr]
    divergence = (logits[0].exp() * (logits[0] - logits[1])).sum(-1)
    assert 0 < divergence.mean() < max_divergence
    assert (logits[0].argmax(-1) == logits[1].argmax(-1)).float().mean() > same_top


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(("kind", "near"), [("int8", 0.06), ("int4", 0.5)])
def test_every_architecture_can_be_quantized(name: str, kind: str, near: float, tmp_path: Path) -> None:
    model, _ = same(name, tmp_path)
    spec = registry.ForwardSpec(torch.float32, torch.device("cpu"), CONTEXT, kind)
    forward = registry.read(sources.find(str(tmp_path)), spec)
    expected = full_logits(model, IDS)
    difference = forward.step(IDS, forward.new_kv_cache(), len(IDS)) - expected
    assert 0 < torch.linalg.vector_norm(difference) <= near * torch.linalg.vector_norm(expected)


@pytest.mark.parametrize("shape", [(32, 64), (50, 96), (7, 32)])
@pytest.mark.parametrize("rows", [1, 3, 70])
def test_four_bits_are_the_nearest_of_sixteen_values_in_each_group(shape: tuple[int, int], rows: int) -> None:
    weight, bias, x = torch.randn(shape), torch.randn(shape[0]), torch.randn(rows, shape[1]).bfloat16().float()
    groups = weight.view(shape[0], -1, quantized.GROUP)
    steps = torch.linspace(0, 1, 16)
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    values = low + (high - low) * steps  # [out, groups, 16]
    nearest = (groups[..., None] - values[:, :, None]).abs().argmin(-1)
    expected = F.linear(x, values.gather(-1, nearest).view(shape), bias)
    found = quantized.int4(weight, bias)(x)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 0.02 * expected.abs().max()  # scales and sums are in bfloat16


@pytest.mark.parametrize("shape", [(32, 64), (50, 96), (7, 40), (8, 1), (3, 100)])
@pytest.mark.parametrize("rows", [1, 3, 70])
def test_eight_bits_are_the_nearest_of_255_values_in_each_row(shape: tuple[int, int], rows: int) -> None:
    """For any row length: nothing after its end may be read."""
    weight, bias, x = torch.randn(shape), torch.randn(shape[0]), torch.randn(rows, shape[1]).bfloat16().float()
    scales = weight.abs().amax(1, keepdim=True) / 127
    expected = F.linear(x, (weight / scales).round() * scales, bias)
    found = quantized.int8(weight, bias)(x)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 0.02 * expected.abs().max()  # scales and sums are in bfloat16


def test_rows_that_do_not_divide_into_groups_get_eight_bits() -> None:
    weight, x = torch.randn(8, 40), torch.randn(3, 40)
    assert torch.equal(quantized.int4(weight, None)(x), quantized.int8(weight, None)(x))


def test_int8_is_rejected_where_it_is_impossible(tmp_path: Path) -> None:
    save_tiny_model(tmp_path, "gpt_neox")
    with pytest.raises(BadRequest, match="its architecture is gpt_neox"):
        assemble.load_model(ModelOptions(str(tmp_path), device="cpu", quantization="int8"), lambda *_: None)


@pytest.mark.parametrize(
    ("kind", "changed", "reason"),
    [
        ("gpt_neox", {}, "its architecture is gpt_neox"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "proportional", "rope_theta": 1e4}},
            "rotary positions of the type proportional",
        ),
        ("granitemoehybrid", {"layer_types": ["linear_attention", "full_attention"]}, "Mamba layers"),
        ("granitemoehybrid", {"num_local_experts": 2}, "experts"),
        ("gemma", {"use_bidirectional_attention": True}, "attention in both directions"),
        ("gpt_bigcode", {"activation_function": "silu"}, "the activation silu"),
        ("mistral", {"sliding_window": 8}, "a window of 8 tokens"),
        ("llama", {"hidden_act": "gelu"}, "the activation gelu"),
        ("llama", {"mlp_bias": True}, "biases of the feed-forward"),
    ],
)
def test_unsupported_models_are_left_to_transformers(
    kind: str, changed: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    tiny_model(kind, **changed).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    folder = sources.find(str(tmp_path))
    assert reason in (registry.why_not_supported(folder, CONTEXT) or "")
    options = ModelOptions(str(tmp_path))
    assert forward_choice.choose_forward(folder, options, CONTEXT)[0] == "transformers"
    with pytest.raises(BadRequest, match=reason):
        forward_choice.choose_forward(folder, ModelOptions(str(tmp_path), forward="own"), CONTEXT)


def test_a_model_spread_over_devices_is_left_to_transformers(tmp_path: Path) -> None:
    folder = sources.find(str(save_tiny_model(tmp_path)))
    assert forward_choice.choose_forward(folder, ModelOptions(device_map="auto"), CONTEXT)[0] == "transformers"
    assert forward_choice.choose_forward(folder, ModelOptions(), CONTEXT) == ("own", "")


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_tiny_model(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelUnusable, match=r"model.layers.1.mlp.up_proj.weight"):
        registry.read(sources.find(str(tmp_path)), registry.ForwardSpec(torch.float32, torch.device("cpu"), CONTEXT))


def test_loaded_weights_need_no_files(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    folder, cpu, kept = sources.find(str(tmp_path)), torch.device("cpu"), {}
    before = registry.read(folder, registry.ForwardSpec(torch.float32, cpu, CONTEXT), kept=kept)
    (tmp_path / "model.safetensors").unlink()
    after = registry.read(folder, registry.ForwardSpec(torch.float32, cpu, CONTEXT), kept=kept)
    # Each load measures its kernels again, so the last bit may differ.
    assert torch.allclose(logprobs(before, [1, 2, 3]), logprobs(after, [1, 2, 3]), rtol=0, atol=1e-5)


def test_the_bundled_model_is_the_same_on_both() -> None:
    ids = list(range(20, 60))
    found = []
    for kind in ("own", "transformers"):
        loaded = assemble.load_model(ModelOptions(forward=kind, device="cpu"), lambda *_: None)
        assert loaded.kind == kind
        assert loaded.forward is not None
        found.append(logprobs(loaded.forward, ids))
    assert (found[0] - found[1]).abs().max() <= 1e-4


@pytest.mark.parametrize("name", VARIANTS)
def test_batched_steps_equal_separate_steps(name: str, tmp_path: Path) -> None:
    model, forward = same(name, tmp_path)
    kv_caches = [forward.new_kv_cache() for _ in range(3)]
    held: list[list[int]] = [[], [], []]
    for lengths in ((5, 1, 3), (1, 1, 1), (2, 4, 1)):
        asked = []
        for number, length in enumerate(lengths):
            start = len(held[number])
            ids = IDS[number + start : number + start + length]
            held[number] += ids
            asked.append(Step(ids, kv_caches[number], min(2, length)))
        for ids, step, logits in zip(held, asked, forward.step_batch(asked), strict=True):
            assert same_logits(logits, full_logits(model, ids)[-step.n_logits :])


@pytest.mark.parametrize("name", VARIANTS)
def test_shapes_are_known_without_weight_files(name: str) -> None:
    kind, changed = VARIANTS[name]
    model = tiny_model(kind, **changed)
    assert registry.tensors(model.config.to_dict()) == {n: tuple(p.shape) for n, p in model.named_parameters()}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_sketch_has_the_sizes_of_the_forward(name: str, tmp_path: Path) -> None:
    model, forward = same(name, tmp_path)
    sketch = registry.sketch(model.config.to_dict(), CONTEXT)
    assert sketch is not None
    assert sketch.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert sketch.kv_bytes("float32") * CONTEXT == forward.new_kv_cache().keys_values.nbytes
    assert (sketch.vocabulary, sketch.layers) == (forward.network.head.outputs, len(forward.network.blocks))


@pytest.mark.parametrize("kernel", [linear.plain, linear.columns])
def test_a_loaded_model_does_not_need_its_files(
    kernel: linear.Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mapped weights would change, or fail, with the file."""
    monkeypatch.setattr(linear, "_fastest", lambda _: linear.Tuning(kernel, kernel, 0))
    _, forward = same("llama", tmp_path)
    before = logprobs(forward, IDS[:9])
    file = tmp_path / "model.safetensors"
    with file.open("r+b") as stream:
        stream.write(b"\0" * file.stat().st_size)
    assert torch.allclose(logprobs(forward, IDS[:9]), before, rtol=0, atol=1e-6)
