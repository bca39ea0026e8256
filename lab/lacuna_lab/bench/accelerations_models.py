"""Loads one model for every runner that `accelerations_steps` names, and builds contestants and decoders from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from types import FunctionType, MethodType

import torch
from torch import Tensor

from lacuna_inference.api import ModelOptions
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.engine import assemble
from lacuna_inference.engine.assemble import LoadedModel
from lacuna_inference.errors import LacunaError
from lacuna_inference.forward import Forward
from lacuna_inference.models import forward_choice
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.forward.network import OwnForward
from lacuna_inference.models.loading import sources
from lacuna_inference.models.loading.tokenizer import read_tokenizer
from lacuna_inference.prompt.families import Layout
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_lab.bench.accelerations_contenders import Contestant, LibraryGenerate, OwnLoop, UnhealedTokenizer
from lacuna_lab.bench.accelerations_steps import BASES, Acceleration, Runner, Setup

_LIBRARY = (Runner.UNCACHED, Runner.GENERATE, Runner.LIBRARY)
_QUANTIZATION = {Runner.INT8: "int8", Runner.INT4: "int4"}


class Models:
    """The model of `options` under every runner that applies; `why_not` says why the others do not."""

    def __init__(
        self, options: ModelOptions, compiles: bool, on_progress: Callable[[str], None] = lambda _: None
    ) -> None:
        """Loads it once for each runner, with torch.compile only if `compiles`; `on_progress` gets a line for each.

        Raises a LacunaError when the model cannot be loaded at all.
        """
        unchanged = {"forward": "auto", "quantization": "none", "acceleration": "none", "layout": "auto"}
        self._options = replace(options, draft_tokens=None, **unchanged)  # type: ignore[arg-type]
        self._folder = sources.find(options.model, options.revision)
        self._on_progress = on_progress
        self._loaded: dict[Runner, LoadedModel] = {}
        self.why_not: dict[Runner | Acceleration, str] = {}
        self.prepared_s: dict[Runner, float] = {}
        """Seconds that loading and preparing took."""
        self._load_bases()
        base = self._loaded[Runner.LIBRARY if Runner.OWN in self.why_not else Runner.OWN]
        self._load_others(base, compiles)
        self._tokenizer = read_tokenizer(self._folder, self._options)
        self._ends = base.decoder.tokenizer.ends
        self.base = base
        self._skip_accelerations(base)

    def contestant(self, setup: Setup) -> Contestant:
        """A contestant that answers as `setup` says, with a tokenizer cache of its own."""
        new_decoder = self._decoder_factory(setup)
        if setup.runner in (Runner.UNCACHED, Runner.GENERATE):
            return LibraryGenerate(new_decoder, cached=setup.runner is Runner.GENERATE)
        return OwnLoop(new_decoder, setup.on)

    def decoder(self, setup: Setup) -> Decoder:
        """A decoder for `setup` with empty caches; for `generate()` one with the same prompts and forward."""
        return self._decoder_factory(setup)()

    def weight_bytes(self, runner: Runner) -> int:
        """Bytes of the tensors that its forward holds."""
        return tensor_bytes(self._forward(runner))

    @property
    def can_batch(self) -> bool:
        """Whether the base can run the steps of several requests in one pass."""
        return isinstance(self.base.forward, OwnForward)

    def _forward(self, runner: Runner) -> Forward:
        forward = self._loaded[runner].forward
        assert forward is not None
        return forward

    def _prompt_tokenizer(self, setup: Setup) -> PromptTokenizer:
        family = self.base.family
        family = replace(family, mixes_file_ngrams=family.mixes_file_ngrams and Acceleration.NGRAM_MIXER in setup.on)
        kind = PromptTokenizer if Acceleration.HEALING in setup.on else UnhealedTokenizer
        return kind(self._tokenizer, family, self._ends)

    def _decoder_factory(self, setup: Setup) -> Callable[[], Decoder]:
        """Makes decoders with empty caches that share one tokenizer."""
        loaded, forward = self._loaded[setup.runner].decoder, self._forward(setup.runner)
        tokenizer = self._prompt_tokenizer(setup)
        max_draft_tokens = loaded.max_draft_tokens if Acceleration.PROMPT_LOOKUP in setup.on else 0
        layout = Layout.ANCHORED if Acceleration.ANCHORED_LAYOUT in setup.on else Layout.CANONICAL

        def new_decoder() -> Decoder:
            caches = PrefixCachePool(forward)
            return Decoder(caches, tokenizer, loaded.context, max_draft_tokens, loaded.forward_name, layout)

        return new_decoder

    def _load_bases(self) -> None:
        loaded = self._load(Runner.OWN, self._options)
        if loaded.kind == "own":
            try:
                library = self._load(Runner.LIBRARY, replace(self._options, forward="transformers"))
            except LacunaError as error:
                self._skip(_LIBRARY, error.message.rstrip("."))
                return
        else:
            _, reason = forward_choice.choose_forward(self._folder, self._options, loaded.decoder.context)
            self._skip((Runner.OWN,), f"it does not run this model: {reason}")
            library = self._loaded.pop(Runner.OWN)
        self._loaded |= dict.fromkeys(_LIBRARY, library)

    def _load_others(self, base: LoadedModel, compiles: bool) -> None:
        if not isinstance(base.forward, OwnForward):
            self._skip((Runner.GRAPHS, Runner.COMPILED, *_QUANTIZATION), "only the own forward supports it")
            return
        if base.device.startswith("cuda"):
            self._capture_graphs(base, base.forward)
        else:
            self._skip((Runner.GRAPHS,), "it needs a CUDA device")
        if compiles:
            self._try(Runner.COMPILED, replace(self._options, acceleration="compile"))
        else:
            self._skip((Runner.COMPILED,), "loading takes long; enable it with --compile")
        for runner, name in _QUANTIZATION.items():
            if base.device == "cpu":
                self._try(runner, replace(self._options, quantization=name))
            else:
                self._skip((runner,), "it needs a CPU")

    def _capture_graphs(self, base: LoadedModel, forward: OwnForward) -> None:
        """Captures the steps of the base as CUDA graphs over the same weights, which may not fit twice."""
        started = time.perf_counter()
        graphs, kind = registry.accelerate(forward, "graphs")
        self.prepared_s[Runner.GRAPHS] = time.perf_counter() - started
        if kind == "own":
            self._skip((Runner.GRAPHS,), "this device could not capture them")
        else:
            decoder = replace(base.decoder, caches=PrefixCachePool(graphs), forward_name=kind)
            self._loaded[Runner.GRAPHS] = replace(base, decoder=decoder, forward=graphs, kind=kind)

    def _try(self, runner: Runner, options: ModelOptions) -> None:
        try:
            loaded = self._load(runner, options)
        except LacunaError as error:
            self._skip((runner,), error.message.rstrip("."))
            return
        if runner is Runner.COMPILED and loaded.kind == "own":
            self._skip((runner,), "it could not be compiled here")

    def _load(self, runner: Runner, options: ModelOptions) -> LoadedModel:
        self._on_progress(f"loading: {runner}")
        started = time.perf_counter()
        self._loaded[runner] = assemble.load_model(options, lambda *_: None)
        self.prepared_s[runner] = time.perf_counter() - started
        return self._loaded[runner]

    def _skip_accelerations(self, base: LoadedModel) -> None:
        family = base.family
        if not base.decoder.max_draft_tokens:
            self.why_not[Acceleration.PROMPT_LOOKUP] = "a pass over several tokens costs this forward too much here"
        if family.infill is None or family.layout(Layout.ANCHORED) == family.layout(Layout.CANONICAL):
            self.why_not[Acceleration.ANCHORED_LAYOUT] = "typing only appends to this family's prompts anyway"
        if not base.decoder.tokenizer.spells:
            self.why_not[Acceleration.HEALING] = "the vocabulary does not spell text byte by byte"
        if not family.mixes_file_ngrams:
            self.why_not[Acceleration.NGRAM_MIXER] = "its weights are fitted to the bundled model"

    def _skip(self, runners: tuple[Runner, ...], reason: str) -> None:
        self.why_not |= dict.fromkeys(runners, reason)
        for runner in set(runners) - set(BASES):
            self._loaded.pop(runner, None)


def tensor_bytes(forward: object) -> int:
    """Bytes of all tensors that `forward` holds, counting each storage once: weights in every layout that is kept,
    tables and working memory, but no document's KV cache."""
    found: dict[int, int] = {}
    for tensor in _tensors(forward, set()):
        if tensor.layout is torch.strided:
            storage = tensor.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
        else:  # in a layout of oneDNN
            found[id(tensor)] = tensor.numel() * tensor.element_size()
    return sum(found.values())


def _tensors(value: object, seen: set[int]) -> Iterator[Tensor]:
    """The tensors reachable from `value` through fields, modules, collections and closures."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield value
        return
    for child in _children(value):
        yield from _tensors(child, seen)


def _children(value: object) -> list[object]:
    if isinstance(value, torch.nn.Module):
        return [*value.parameters(), *value.buffers()]
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, MethodType):
        return [value.__self__]
    if isinstance(value, FunctionType):
        return [cell.cell_contents for cell in value.__closure__ or ()]
    if not type(value).__module__.startswith("lacuna_inference"):
        return []
    slots = [getattr(value, name, None) for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    return [*slots, *getattr(value, "__dict__", {}).values()]
