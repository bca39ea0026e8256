"""Registry of the architectures that the own forward supports; builds it from a model's folder without transformers."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lacuna_inference.forward import Forward
from lacuna_inference.models.architectures import codegen, gemma, gpt_bigcode, granite, llama, starcoder2, xglm
from lacuna_inference.models.forward import single, static
from lacuna_inference.models.forward.linear import Tuning, keep_plain, tune
from lacuna_inference.models.forward.network import Network, OwnForward
from lacuna_inference.models.forward.quantized import QUANTIZED_KERNELS, same_with_any_threads, tuning_of
from lacuna_inference.models.forward.threads import ThreadChooser
from lacuna_inference.models.gguf.tensors import GgufTensors
from lacuna_inference.models.loading import memory
from lacuna_inference.models.loading.quantizing import Quantizer
from lacuna_inference.models.loading.shards import Shard, ShardedTensors, ShardingPlan, with_all_reduce
from lacuna_inference.models.loading.sketch import ITEM_BYTES, Sketch
from lacuna_inference.models.loading.sources import ModelFolder
from lacuna_inference.models.loading.weights import HostCopies, MetaTensors, Shapes, TensorFiles, Weights, require
from lacuna_inference.models.packed_weights import PackedWeights

logger = logging.getLogger(__name__)
_ARCHITECTURES: tuple[ModuleType, ...] = (llama, granite, gemma, starcoder2, gpt_bigcode, xglm, codegen)


def why_not_supported(folder: ModelFolder, context: int) -> str | None:
    """Why the own forward cannot run the model in `folder`, or None if it can."""
    config = folder.config
    if config.get("quantization_config"):
        return "its weights are quantized"
    if config.get("auto_map"):
        return "it brings its own code"
    architecture = _architecture(config)
    if architecture is None:
        return f"its architecture is {config.get('model_type')}"
    obstacle: str | None = architecture.obstacle(config) or _narrow_window(config, context)
    return None if obstacle is None else f"it has {obstacle}"


def config_error(config: dict[str, Any]) -> str | None:
    """What is wrong with the config of a known architecture, or None; no forward can run such a model."""
    architecture = None if config.get("auto_map") else _architecture(config)
    flaw: str | None = None if architecture is None else architecture.flaw(config)
    return flaw


@dataclass(frozen=True, slots=True)
class ForwardSpec:
    """How the own forward is built: `context` in tokens; `quantization` as in `ModelOptions`, on a CPU only.

    `tuned` selects the fastest kernels by measuring them; untuned, only kernels that a compiler supports are used.
    `packed` keeps the quantized weights between starts; only where `quantized.can_be_kept`.
    """

    dtype: torch.dtype
    device: torch.device
    context: int
    quantization: str = "none"
    tuned: bool = True
    packed: PackedWeights | None = None


def read(folder: ModelFolder, spec: ForwardSpec, kept: dict[str, Tensor] | None = None) -> OwnForward:
    """Reads the forward of a model for which `why_not_supported` is None.

    Copies of the tensors are kept in `kept`, if given and empty; the next call uses them instead of the files.
    Raises ModelUnusable if a tensor is missing, and NotEnoughMemory before reading if the model will not fit.
    """
    if kept:
        _require_room(sum(tensor.numel() for tensor in kept.values()), spec)
        return build(folder.config, kept, spec)
    with ExitStack() as stack:
        files = _open(folder, stack)
        _require_room(files.parameters(), spec)
        copies = HostCopies(files, spec.dtype)
        forward = build(folder.config, files if kept is None else copies, spec)
        if kept is not None:
            kept.update(copies.kept)
        return forward


def build(config: dict[str, Any], held: Mapping[str, Tensor], spec: ForwardSpec) -> OwnForward:
    """The forward of the model that `config` describes, from the tensors `held`."""
    network, tuning = _build_network(config, held, spec)
    single_step = None if single.obstacle(network) else single.SingleStep(network)
    steady = spec.device.type == "cpu" and same_with_any_threads(spec.quantization)
    threads = ThreadChooser(torch.get_num_threads(), torch.set_num_threads) if steady else None
    return OwnForward(network, tuning, single_step, threads)


def read_shard(
    folder: ModelFolder, spec: ForwardSpec, shard: Shard, all_reduce: Callable[[Tensor], None]
) -> OwnForward:
    """Reads one shard of the forward of a model; `all_reduce` sums a tensor over all shards, in place.

    Raises ModelUnusable if a tensor is missing, and NotEnoughMemory before reading if the shard will not fit.
    """
    sharding = _sharding_plan(folder.config, shard.world_size)
    assert isinstance(sharding, ShardingPlan)
    with ExitStack() as stack:
        files = _open(folder, stack)
        _require_room(files.parameters() // shard.world_size, spec)
        network, tuning = _build_network(sharding.config, ShardedTensors(files, sharding, shard), spec)
    return OwnForward(with_all_reduce(network, all_reduce), tuning)


def why_not_sharded(config: dict[str, Any], world_size: int) -> str | None:
    """Why the own forward cannot be split into `world_size` shards, or None if it can. Needs a supported model."""
    plan = _sharding_plan(config, world_size)
    return plan if isinstance(plan, str) else None


def tensors(config: dict[str, Any]) -> Shapes:
    """Names and shapes of the tensors of the supported model that `config` describes."""
    architecture = _architecture(config)
    assert architecture is not None
    shapes: Shapes = architecture.tensors(config)
    return shapes


def sketch(config: dict[str, Any], context: int) -> Sketch | None:
    """The sizes of the model that `config` describes, from a forward on the meta device, which takes no memory.

    None for an unsupported architecture.
    """
    architecture = _architecture(config)
    if architecture is None or architecture.obstacle(config):
        return None
    shapes = tensors(config)
    weights = Weights(MetaTensors(shapes), torch.float32, torch.device("meta"))
    network = architecture.build(config, weights, context)
    return Sketch(
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        multiplied=sum(layer.inputs * layer.outputs for layer in weights.linears),
        outputs=sum(layer.outputs for layer in weights.linears),
        tied=not any(name.startswith("lm_head") for name in shapes),
        vocabulary=network.head.outputs,
        width=network.head.inputs,
        widest=max(layer.outputs for layer in weights.linears if layer is not network.head),
        layers=len(network.blocks),
        heads=network.heads,
    )


def accelerate(forward: OwnForward, acceleration: str) -> tuple[Forward, str]:
    """The forward with its short steps recorded by `acceleration` (see `ModelOptions.acceleration`), and its name.

    If recording fails, the reason is logged and the forward is returned unchanged.
    """
    device = forward.network.head.device
    name = forward_name(acceleration, device)
    try:
        if (capture := _capture_for(acceleration, device)) is not None:
            return static.StaticForward(forward.network, forward.max_draft_tokens, capture), name
    except Exception as error:  # compilers and drivers fail in many ways, and the forward works without them
        logger.warning("The forward runs unrecorded: %s", str(error).strip().split("\n")[0])
    return forward, "own"


def forward_name(acceleration: str, device: torch.device) -> str:
    """The name of the own forward whose short steps are recorded by `acceleration`."""
    if _capture_for(acceleration, device) is None:
        return "own"
    return "own, compiled" if acceleration == "compile" else "own, CUDA graphs"


def _build_network(config: dict[str, Any], held: Mapping[str, Tensor], spec: ForwardSpec) -> tuple[Network, Tuning]:
    architecture = _architecture(config)
    assert architecture is not None
    kernel = QUANTIZED_KERNELS.get(spec.quantization)
    if kernel is not None:
        with Quantizer(kernel, spec.packed) as quantizer:
            weights = Weights(held, spec.dtype, spec.device, quantizer)
            network: Network = architecture.build(config, weights, spec.context)
        if spec.packed is not None:
            spec.packed.keep()
        return network, tuning_of(kernel)
    weights = Weights(held, spec.dtype, spec.device)
    network = architecture.build(config, weights, spec.context)
    return network, (tune if spec.tuned else keep_plain)(weights.linears)


def _open(folder: ModelFolder, stack: ExitStack) -> TensorFiles | GgufTensors:
    """The tensors of the model in `folder`, read on access until `stack` is closed. Raises ModelUnusable."""
    files = TensorFiles(folder.weight_files, stack) if folder.gguf is None else GgufTensors(folder.gguf)
    require(files, tensors(folder.config))
    return files


def _sharding_plan(config: dict[str, Any], world_size: int) -> ShardingPlan | str:
    """How to shard the model, or why it cannot be sharded."""
    architecture = _architecture(config)
    assert architecture is not None
    plan: ShardingPlan | str = architecture.sharding_plan(config, world_size)
    return plan


def _require_room(parameters: int, spec: ForwardSpec) -> None:
    item = ITEM_BYTES.get(spec.quantization, spec.dtype.itemsize)
    memory.require_room(memory.Size(parameters, round(parameters * item)), spec.device)


def _capture_for(acceleration: str, device: torch.device) -> static.Capture | None:
    on_cuda = device.type == "cuda"
    if acceleration == "compile":
        return partial(static.compiled_graph, device=device) if on_cuda else static.compiled
    graphs = acceleration == "graphs" or (acceleration == "auto" and on_cuda)
    return partial(static.cuda_graph, device=device) if graphs else None


def _narrow_window(config: dict[str, Any], context: int) -> str | None:
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    return f"a window of {window} tokens" if window is not None and window < context else None


def _architecture(config: dict[str, Any]) -> ModuleType | None:
    kind = config.get("model_type")
    return next((module for module in _ARCHITECTURES if kind in module.MODEL_TYPES), None)
