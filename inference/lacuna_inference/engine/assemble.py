"""Assembles a decoder from a model, its tokenizer and its caches."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from torch import Tensor

from lacuna_inference.api import ModelFacts, ModelOptions
from lacuna_inference.cache.disk import DiskCaches
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.forward import Forward, exporting
from lacuna_inference.models import facts, forward_choice, identity, loader
from lacuna_inference.models.architectures.registry import ForwardSpec
from lacuna_inference.models.describe import type_in_memory
from lacuna_inference.models.forward.quantized import can_be_kept
from lacuna_inference.models.loader import Progress
from lacuna_inference.models.loading.config import end_ids
from lacuna_inference.models.loading.memory import return_freed
from lacuna_inference.models.loading.tokenizer import read_tokenizer
from lacuna_inference.models.packed_weights import PackedWeights
from lacuna_inference.models.parallel.workers import ParallelForward, Workers
from lacuna_inference.prompt.families import Family, Layout
from lacuna_inference.prompt.tokenizer import PromptTokenizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A decoder, its forward, and what describes the model. `kind` names the forward in human-readable form."""

    decoder: Decoder
    name: str
    family: Family
    device: str
    dtype: str
    forward: Forward | None = None
    kind: str = "own"
    workers: Workers | None = None
    """The worker processes of a sharded model."""
    facts: ModelFacts = field(default_factory=ModelFacts)

    @property
    def failure(self) -> str:
        """What happened to the worker processes; empty while they are alive."""
        return "" if self.workers is None else self.workers.failure

    def close(self) -> None:
        """Ends the worker processes."""
        if self.workers is not None:
            self.workers.close()


def load_model(options: ModelOptions, progress: Progress, kept: dict[str, Tensor] | None = None) -> LoadedModel:
    """Loads the model from disk. Raises a LacunaError that says what is wrong and what to do.

    `progress` is called with a fraction from 0 to 1 and the current action. Copies of weights for a GPU are kept in
    `kept`, in host memory, and the next call reads them from there.
    """
    progress(0.0, "looking for the model")
    folder = loader.find(options)
    devices = loader.choose_devices(options)
    device = devices[0]
    options = loader.over_layers(options, devices)
    dtype = loader.choose_dtype(options.dtype, folder.config, device)
    progress(0.05, "reading the tokenizer")
    tokenizer = read_tokenizer(folder, options)
    family, doubt = loader.choose_family(folder, tokenizer, options.family)
    if doubt is not None:
        logger.warning("%s is prompted as %s, but %s. Choose another with --family.", folder.name, family.name, doubt)
    prompt_tokenizer = PromptTokenizer(tokenizer, family, end_ids(folder.config))
    context = loader.context_of(folder.config, family, options.context)
    return_freed()  # building a tokenizer takes more memory than keeping it
    progress(0.15, "reading the weights")
    quantization = forward_choice.choose_quantization(folder, options, device, context)
    workers: Workers | None = None
    if options.spread == "tensor" and len(devices) > 1:
        workers = loader.start_shards(folder, dtype, devices, options, context, progress)
        forward: Forward = ParallelForward(workers)
        kind = f"own, in {len(devices)} parts"
    else:
        packed = _packed(options, quantization, identity.key_of(folder, quantization, dtype))
        spec = ForwardSpec(dtype, device, context, quantization, packed=packed)
        forward, kind = forward_choice.read_forward(folder, spec, options, kept if device.type == "cuda" else None)
    max_draft_tokens = forward.max_draft_tokens if options.draft_tokens is None else options.draft_tokens
    return_freed()
    progress(0.9, "warming up")
    layout = Layout.ANCHORED if options.layout == "auto" else Layout(options.layout)
    relayout_on_pause = options.layout == "auto" and family.anchored_untrained
    key = identity.key_of(folder, quantization, dtype, kind, device.type, context, family.name, options.layout)
    caches = PrefixCachePool(forward, disk=_disk(options, key, forward, context))
    closes_holes = not loader.is_chat_tuned(folder)
    decoder = Decoder(
        caches, prompt_tokenizer, context, max_draft_tokens, kind, layout, relayout_on_pause, closes_holes
    )
    dtype_name = type_in_memory(folder, options, device, context)
    device_names = ", ".join(map(str, devices))
    model_facts = facts.of(folder, prompt_tokenizer, context, dtype_name)
    return LoadedModel(decoder, folder.name, family, device_names, dtype_name, forward, kind, workers, model_facts)


def _disk(options: ModelOptions, key: str, forward: Forward, context: int) -> DiskCaches | None:
    """The saved KV caches, if the options ask for them and this forward's can be saved."""
    exported = exporting(forward)
    if options.kv_cache_folder is None or options.kv_cache_disk_bytes <= 0 or exported is None:
        return None
    return DiskCaches(options.kv_cache_folder, options.kv_cache_disk_bytes, key, exported, context)


def _packed(options: ModelOptions, quantization: str, key: str) -> PackedWeights | None:
    """Where the packed weights are, if the options name a folder and this processor's can be kept."""
    if options.packed_folder is None or not can_be_kept(quantization):
        return None
    return PackedWeights(options.packed_folder, options.packed_disk_bytes, key)
