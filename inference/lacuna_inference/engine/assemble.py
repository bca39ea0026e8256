"""A model, its tokenizer and its caches, put together to a decoder."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from torch import Tensor

from lacuna_inference.api import ModelFacts, ModelOptions
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.forward import Forward
from lacuna_inference.models import facts, loader
from lacuna_inference.models.architectures.registry import ForwardSpec
from lacuna_inference.models.loader import Progress
from lacuna_inference.models.loading.config import end_ids
from lacuna_inference.models.loading.tokenizer import read_tokenizer
from lacuna_inference.models.parallel.workers import ParallelForward, Workers
from lacuna_inference.prompt.families import Family, Layout
from lacuna_inference.prompt.tokenizer import PromptTokenizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A decoder, the forward under it, and what is to be said of it. `kind` says what runs it, for people to read."""

    decoder: Decoder
    name: str
    family: Family
    device: str
    dtype: str
    forward: Forward | None = None
    kind: str = "own"
    workers: Workers | None = None
    """The processes that run it, where it is in parts."""
    facts: ModelFacts = field(default_factory=ModelFacts)

    @property
    def failure(self) -> str:
        """What befell the processes that ran it; empty as long as nothing did."""
        return "" if self.workers is None else self.workers.lost

    def close(self) -> None:
        """Ends its processes."""
        if self.workers is not None:
            self.workers.close()


def load_model(options: ModelOptions, progress: Progress, kept: dict[str, Tensor] | None = None) -> LoadedModel:
    """Reads the model from disk. Raises a LacunaError that says what is wrong and what to do.

    `progress` is called with a share from 0 to 1 and what is being done. Weights for a GPU stay in `kept`, in host
    memory, and the next call takes them from there.
    """
    progress(0.0, "looking for the model")
    folder = loader.find(options)
    devices = loader.choose_devices(options)
    device = devices[0]
    options = loader.over_layers(options, devices)
    dtype = loader.choose_dtype(options.dtype, folder.config, device)
    progress(0.05, "reading the tokenizer")
    tokenizer = read_tokenizer(folder, options)
    family = loader.choose_family(folder, tokenizer, options.family)
    if (unsure := loader.doubt(folder, tokenizer, family, options.family)) is not None:
        logger.warning("%s is prompted as %s, but %s. Name another with --family.", folder.name, family.name, unsure)
    text = PromptTokenizer(tokenizer, family, end_ids(folder.config))
    context = loader.context_of(folder.config, family, options.context)
    progress(0.15, "reading the weights")
    parts: Workers | None = None
    if options.spread == "tensor" and len(devices) > 1:
        parts = loader.start_shards(folder, dtype, devices, options, context, progress)
        forward: Forward = ParallelForward(parts)
        kind = f"own, in {len(devices)} parts"
    else:
        spec = ForwardSpec(dtype, device, context, options.quantization)
        forward, kind = loader.read_forward(folder, spec, options, kept if device.type == "cuda" else None)
    widest = forward.max_draft_tokens if options.draft_tokens is None else options.draft_tokens
    progress(0.9, "warming up")
    layout = Layout.ANCHORED if options.layout == "auto" else Layout(options.layout)
    relayout_on_pause = options.layout == "auto" and family.anchored_untrained
    decoder = Decoder(PrefixCachePool(forward), text, context, widest, kind, layout, relayout_on_pause)
    shown = str(dtype).removeprefix("torch.") if options.quantization == "none" else options.quantization
    places = ", ".join(map(str, devices))
    told = facts.of(folder, text, context, shown)
    return LoadedModel(decoder, folder.name, family, places, shown, forward, kind, parts, told)
