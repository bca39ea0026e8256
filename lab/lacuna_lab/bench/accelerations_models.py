"""One model behind each runner, and contestants that answer with it: what `accelerations_steps` names, made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Protocol

import torch
from torch import Tensor

from lacuna_inference.api import CancelToken, ModelOptions, Request
from lacuna_inference.cache.pool import PrefixCachePool
from lacuna_inference.decoding.anchors import Anchors
from lacuna_inference.decoding.answer import answer, prompt_for
from lacuna_inference.decoding.loop import Decoder
from lacuna_inference.decoding.suggestion_reuse import SuggestionReuse
from lacuna_inference.engine import assemble
from lacuna_inference.engine.assemble import LoadedModel
from lacuna_inference.errors import LacunaError
from lacuna_inference.forward import Forward
from lacuna_inference.models import loader
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.forward.network import OwnForward
from lacuna_inference.models.loading import sources
from lacuna_inference.models.loading.tokenizer import read_tokenizer
from lacuna_inference.prompt.families import Layout
from lacuna_inference.prompt.tokenizer import PromptTokenizer
from lacuna_lab.bench.accelerations_steps import BASES, Acceleration, Runner, Setup

_LIBRARY = (Runner.UNCACHED, Runner.GENERATE, Runner.LIBRARY)
_QUANTIZATION = {Runner.INT8: "int8", Runner.INT4: "int4"}


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A text, the tokens that the model read for it, and the passes that it read them in."""

    text: str
    evaluated: int
    passes: int


class Contestant(Protocol):
    """Answers the keys of one session after the other."""

    def begin(self) -> None:
        """Forgets everything: a new session begins."""

    def ask(self, request: Request) -> ModelReply: ...

    @property
    def kept_bytes(self) -> int:
        """What the last answer left in memory: KV cache, and logits that are kept."""
        ...


class Models:
    """`options`' model behind every runner that applies here; `why_not` says why others do not."""

    def __init__(self, options: ModelOptions, compiles: bool, tell: Callable[[str], None] = lambda _: None) -> None:
        """Loads it once for each runner; torch.compile only when `compiles`. `tell` hears what is loaded.

        Raises a LacunaError when the model cannot be loaded at all.
        """
        unchanged = {"forward": "auto", "quantization": "none", "acceleration": "none", "layout": "auto"}
        self._options = replace(options, draft_tokens=None, **unchanged)  # type: ignore[arg-type]
        self._folder = sources.find(options.model, options.revision)
        self._tell = tell
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
        self._refuse_accelerations(base)

    def contestant(self, setup: Setup) -> Contestant:
        """Somebody who answers as `setup` says, with a tokenizer's memory of their own."""
        text = self._text(setup)
        fresh = self._decoders(setup, text)
        if setup.runner in (Runner.UNCACHED, Runner.GENERATE):
            return _Generating(fresh, cached=setup.runner is Runner.GENERATE)
        return _Decoding(fresh, setup.on)

    def decoder(self, setup: Setup) -> Decoder:
        """A decoder for `setup` that has read nothing yet; of `generate()` one with its prompts and its forward."""
        return self._decoders(setup, self._text(setup))()

    def weight_bytes(self, runner: Runner) -> int:
        """Bytes of the tensors that its forward holds."""
        return tensor_bytes(self._forward(runner))

    @property
    def batches(self) -> bool:
        """Whether the base takes the steps of several requests in one pass."""
        return isinstance(self.base.forward, OwnForward)

    def _forward(self, runner: Runner) -> Forward:
        forward = self._loaded[runner].forward
        assert forward is not None
        return forward

    def _text(self, setup: Setup) -> PromptTokenizer:
        family = self.base.family
        family = replace(family, local=family.local and Acceleration.LOCAL in setup.on)
        kind = PromptTokenizer if Acceleration.HEALED in setup.on else _Unhealed
        return kind(self._tokenizer, family, self._ends)

    def _decoders(self, setup: Setup, tokenizer: PromptTokenizer) -> Callable[[], Decoder]:
        loaded, forward = self._loaded[setup.runner].decoder, self._forward(setup.runner)
        widest = loaded.max_draft_tokens if Acceleration.DRAFTS in setup.on else 0
        layout = Layout.ANCHORED if Acceleration.ANCHORED in setup.on else Layout.CANONICAL

        def fresh() -> Decoder:
            return Decoder(PrefixCachePool(forward), tokenizer, loaded.context, widest, loaded.forward_name, layout)

        return fresh

    def _load_bases(self) -> None:
        loaded = self._load(Runner.OWN, self._options)
        if loaded.kind == "own":
            try:
                library = self._load(Runner.LIBRARY, replace(self._options, forward="transformers"))
            except LacunaError as error:
                self._refuse(_LIBRARY, error.message.rstrip("."))
                return
        else:
            _, reason = loader.choose_forward(self._folder, self._options, loaded.decoder.context)
            self._refuse((Runner.OWN,), f"it does not run this model: {reason}")
            library = self._loaded.pop(Runner.OWN)
        self._loaded |= dict.fromkeys(_LIBRARY, library)

    def _load_others(self, base: LoadedModel, compiles: bool) -> None:
        if not isinstance(base.forward, OwnForward):
            self._refuse((Runner.GRAPHS, Runner.COMPILED, *_QUANTIZATION), "it is for the own forward")
            return
        if base.device.startswith("cuda"):
            self._record(base, base.forward)
        else:
            self._refuse((Runner.GRAPHS,), "it needs a CUDA device")
        if compiles:
            self._try(Runner.COMPILED, replace(self._options, acceleration="compile"))
        else:
            self._refuse((Runner.COMPILED,), "not asked for: --compile, and loading takes long")
        for runner, name in _QUANTIZATION.items():
            if base.device == "cpu":
                self._try(runner, replace(self._options, quantization=name))
            else:
                self._refuse((runner,), "it is for a CPU")

    def _record(self, base: LoadedModel, forward: OwnForward) -> None:
        """The steps of the base as CUDA graphs: over the same weights, which may not fit twice."""
        started = time.perf_counter()
        recorded, kind = registry.accelerate(forward, "graphs")
        self.prepared_s[Runner.GRAPHS] = time.perf_counter() - started
        if kind == "own":
            self._refuse((Runner.GRAPHS,), "this device could not record them")
        else:
            decoder = replace(base.decoder, caches=PrefixCachePool(recorded), forward_name=kind)
            self._loaded[Runner.GRAPHS] = replace(base, decoder=decoder, forward=recorded, kind=kind)

    def _try(self, runner: Runner, options: ModelOptions) -> None:
        try:
            loaded = self._load(runner, options)
        except LacunaError as error:
            self._refuse((runner,), error.message.rstrip("."))
            return
        if runner is Runner.COMPILED and loaded.kind == "own":
            self._refuse((runner,), "it could not be compiled here")

    def _load(self, runner: Runner, options: ModelOptions) -> LoadedModel:
        self._tell(f"loading: {runner}")
        started = time.perf_counter()
        self._loaded[runner] = assemble.load_model(options, lambda *_: None)
        self.prepared_s[runner] = time.perf_counter() - started
        return self._loaded[runner]

    def _refuse_accelerations(self, base: LoadedModel) -> None:
        family, text = base.family, base.decoder.tokenizer
        if not base.decoder.max_draft_tokens:
            self.why_not[Acceleration.DRAFTS] = "several tokens cost this forward too much more than one here"
        if family.infill is None or family.layout(Layout.ANCHORED) == family.layout(Layout.CANONICAL):
            self.why_not[Acceleration.ANCHORED] = "typing only appends to this family's prompts anyway"
        if not text.spells:
            self.why_not[Acceleration.HEALED] = "the vocabulary does not spell texts byte by byte"
        if not family.local:
            self.why_not[Acceleration.LOCAL] = "the shares are fitted to the bundled model"

    def _refuse(self, runners: tuple[Runner, ...], reason: str) -> None:
        self.why_not |= dict.fromkeys(runners, reason)
        for runner in set(runners) - set(BASES):
            self._loaded.pop(runner, None)


def tensor_bytes(forward: object) -> int:
    """Bytes of all tensors that `forward` holds, each piece of memory once: weights in every order they are kept in,
    tables and working memory, but no document's KV cache."""
    found: dict[int, int] = {}
    for tensor in _tensors(forward, set()):
        if tensor.layout is torch.strided:
            storage = tensor.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
        else:  # in an order of oneDNN's own
            found[id(tensor)] = tensor.numel() * tensor.element_size()
    return sum(found.values())


class _Unhealed(PromptTokenizer):
    """Text whose prompts end at the cursor, also inside a word."""

    def healed_prefix(self, prefix: str) -> str:
        return ""


class _Decoding:
    """The own loop. Without kept prompts it forgets before each key what it has read."""

    def __init__(self, fresh: Callable[[], Decoder], on: frozenset[Acceleration]) -> None:
        self._fresh, self._on = fresh, on
        self._decoder = fresh()

    def begin(self) -> None:
        self._decoder = self._fresh()

    def ask(self, request: Request) -> ModelReply:
        decoder = self._decoder
        if Acceleration.KEPT not in self._on:
            decoder.caches.cache_for(request.document_id, ()).clear()
        if Acceleration.GHOSTS not in self._on:
            decoder = replace(decoder, reuse=SuggestionReuse())
        found = answer(decoder, "", request, CancelToken(), time.perf_counter())
        return ModelReply(found.candidates[0].text, found.metrics.evaluated_tokens, found.metrics.forward_passes)

    @property
    def kept_bytes(self) -> int:
        return self._decoder.caches.nbytes


class _Generating:
    """transformers' `generate()`, greedy, over the prompts and with the rules of the own loop; ends with the line."""

    def __init__(self, fresh: Callable[[], Decoder], cached: bool) -> None:
        self._decoder, self._cached = fresh(), cached
        forward: Any = self._decoder.caches.forward
        self._model, self._slot = forward.model, forward.new_kv_cache()
        text = self._decoder.tokenizer
        lines = [token for token, piece in text.vocabulary.bytes_of.items() if b"\n" in piece]
        self._stops = sorted({*text.ends, *lines})
        padding = range(text.size, self._model.config.vocab_size)
        self._never = sorted({*text.banned, *padding})

    def begin(self) -> None:
        self._decoder = replace(self._decoder, anchors=Anchors())

    def ask(self, request: Request) -> ModelReply:
        ids = prompt_for(self._decoder, request).ids
        written = self._write(ids, request.stop.max_tokens)
        text = self._decoder.tokenizer
        shown = text.decode([token for token in written if token not in text.ends]).split("\n")[0]
        count, length = len(written), len(ids)
        read = length + count - 1 if self._cached else count * length + count * (count - 1) // 2
        return ModelReply(shown, read, count)

    @property
    def kept_bytes(self) -> int:
        return int(self._slot.nbytes)

    @torch.inference_mode()
    def _write(self, ids: tuple[int, ...], most: int) -> list[int]:
        prompt = torch.tensor([ids], device=self._model.device)
        found = self._model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            repetition_penalty=1.0,
            use_cache=self._cached,
            max_new_tokens=most,
            eos_token_id=self._stops,
            pad_token_id=self._stops[0],
            suppress_tokens=self._never or None,
            return_dict_in_generate=True,
        )
        if self._cached:
            self._slot.cache = found.past_key_values
        return [int(token) for token in found.sequences[0, len(ids) :]]


def _tensors(thing: object, seen: set[int]) -> Iterator[Tensor]:
    """The tensors that `thing` reaches through its own fields, modules, collections and closures."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        yield thing
        return
    for part in _parts(thing):
        yield from _tensors(part, seen)


def _parts(thing: object) -> list[object]:
    if isinstance(thing, torch.nn.Module):
        return [*thing.parameters(), *thing.buffers()]
    if isinstance(thing, list | tuple):
        return list(thing)
    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, MethodType):
        return [thing.__self__]
    if isinstance(thing, FunctionType):
        return [cell.cell_contents for cell in thing.__closure__ or ()]
    if not type(thing).__module__.startswith("lacuna_inference"):
        return []
    slots = [getattr(thing, name, None) for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*slots, *getattr(thing, "__dict__", {}).values()]
