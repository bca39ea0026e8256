"""Runs any causal model of the transformers library behind `Forward`, with the library's modules and caches."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lacuna_inference.api import ModelOptions
from lacuna_inference.errors import ModelUnusable, NotEnoughMemory
from lacuna_inference.forward import Step
from lacuna_inference.models.forward.network import Heads
from lacuna_inference.models.loading import files, memory
from lacuna_inference.models.loading.sketch import Sketch
from lacuna_inference.models.loading.sources import ModelFolder, unusable
from lacuna_inference.models.loading.weights import missing_tensor
from lacuna_inference.models.transformers_cache import TransformersCache

logger = logging.getLogger(__name__)
_MAX_DRAFT_TOKENS = 7
_FP32_TOLERANCE, _NARROW_TOLERANCE = 1e-3, 5e-2
"""How far logits of two passes may differ from those of one, in fp32 and in narrower dtypes, relative to their norm."""


class TransformersForward:
    """Calls the model eagerly, without `generate()`.

    Positions are always passed: models with absolute positions (XGLM, GPTBigCode) would otherwise derive them from an
    attention mask, and none is passed. On a CPU, the library's matrix products take twice as long for two rows as for
    one, so drafts do not pay.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        model.train(False)
        self.max_draft_tokens = 0 if model.device.type == "cpu" else _MAX_DRAFT_TOKENS
        parameters = inspect.signature(model.forward).parameters
        self._selects_logits = "logits_to_keep" in parameters
        self._cache_name = "cache_params" if "cache_params" in parameters else "past_key_values"

    def new_kv_cache(self) -> TransformersCache:
        """An empty KV cache for one sequence."""
        return TransformersCache(self.model.config)

    @torch.inference_mode()
    def step(self, ids: Sequence[int], kv_cache: TransformersCache, n_logits: int = 1) -> Tensor:
        """Appends `ids` to `kv_cache`; returns logits [n_logits, vocabulary] after each of the last `n_logits`."""
        first = kv_cache.until_snapshot(len(ids))
        if 0 < first <= len(ids) - n_logits:
            self._append(ids[:first], kv_cache, 1)
            ids = ids[first:]
        return self._append(ids, kv_cache, n_logits)

    def _append(self, ids: Sequence[int], kv_cache: TransformersCache, n_logits: int) -> Tensor:
        """As `step`, without a snapshot before the end."""
        if kv_cache.length and len(ids) > 1 and kv_cache.has_states and not self._continues:
            return torch.cat([self._pass([token], kv_cache, 1) for token in ids])[-n_logits:]
        return self._pass(ids, kv_cache, n_logits)

    @cached_property
    def _continues(self) -> bool:
        """Whether several tokens can be read after others. Some models (Jamba) would forget their recurrent state."""
        whole, parts, first, rest = self.new_kv_cache(), self.new_kv_cache(), range(1, 9), (9, 10)
        expected = self._pass([*first, *rest], whole, len(rest)).float()
        self._pass(first, parts, 1)
        error = torch.linalg.vector_norm(self._pass(rest, parts, len(rest)).float() - expected)
        tolerance = _FP32_TOLERANCE if self.model.dtype is torch.float32 else _NARROW_TOLERANCE
        continues = bool(error <= tolerance * torch.linalg.vector_norm(expected))
        if not continues:
            logger.warning(
                "transformers reads this model's text only as a whole: what is typed is read token by token."
            )
        return continues

    def _pass(self, ids: Sequence[int], kv_cache: TransformersCache, n_logits: int) -> Tensor:
        """As `step`, in one pass of the model."""
        held, device = kv_cache.length, self.model.device
        output = self.model(
            input_ids=torch.tensor([list(ids)], device=device),
            position_ids=torch.arange(held, held + len(ids), device=device)[None],
            use_cache=True,
            **{self._cache_name: kv_cache.cache},
            **({"logits_to_keep": n_logits} if self._selects_logits else {}),
        )
        if not held and kv_cache.is_empty:
            raise ModelUnusable(
                f"{type(self.model).__name__} keeps what it has read in a way of its own.", "Choose another model."
            )
        kv_cache.read(len(ids))
        logits: Tensor = output.logits[0, -n_logits:]
        return logits

    def step_batch(self, steps: Sequence[Step]) -> None:
        """Not supported: caches of different lengths cannot share a pass."""


def read(folder: ModelFolder, dtype: torch.dtype, device: torch.device, options: ModelOptions) -> TransformersForward:
    """The model in `folder` as transformers runs it. Raises ModelUnusable, and NotEnoughMemory when it does not fit."""
    spread = bool(options.device_map or options.max_memory)
    placement: dict[str, Any] = {"device_map": options.device_map or ("auto" if spread else {"": str(device)})}
    if options.max_memory:
        placement["max_memory"] = {int(k) if k.isdigit() else k: v for k, v in options.max_memory.items()}
    config = read_config(folder, options)
    config.transformers_weights = _weights(folder)
    if not spread:
        memory.require_room(memory.size_of(config, dtype, options.trust_remote_code), device)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder.path,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=options.trust_remote_code,
            output_loading_info=True,
            **placement,
        )
    except torch.OutOfMemoryError as error:
        raise NotEnoughMemory(f"The model does not fit {device}.", "Choose a smaller dtype or model.") from error
    except Exception as error:  # configs, weights and modules fail in many ways
        raise unusable(folder, error) from error
    model, loading_info = loaded
    if missing := sorted(loading_info["missing_keys"]):
        raise missing_tensor(missing[0])  # transformers would initialize it randomly
    return TransformersForward(model)


def read_config(folder: ModelFolder, options: ModelOptions) -> Any:
    """The config as transformers reads it. Raises ModelUnusable for one that it does not know."""
    kind = str(folder.config.get("model_type"))
    try:
        if files.begins_with_mark(folder.path / "config.json") and kind in CONFIG_MAPPING:
            return CONFIG_MAPPING[kind].from_dict(dict(folder.config))
        return AutoConfig.from_pretrained(folder.path, trust_remote_code=options.trust_remote_code)
    except Exception as error:  # among others, the library's own type for a value of a wrong type
        raise unusable(folder, error) from error


def _weights(folder: ModelFolder) -> str:
    """The file that transformers starts with. By default it would search for other names in another order."""
    if (folder.path / files.SAFETENSORS.index).is_file():
        return files.SAFETENSORS.index
    weights = folder.weight_files
    if len(weights) == 1:
        return weights[0].name
    raise ModelUnusable(
        f"{folder.path} has {len(weights)} weight files and no {files.SAFETENSORS.index}, which transformers needs.",
        "Fetch the model again.",
    )


def random_model(config: dict[str, Any], dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """A model with random weights for `config`, the content of a config.json; on "meta" it takes no memory."""
    library_config = AutoConfig.for_model(**config)
    with device:
        model: PreTrainedModel = AutoModelForCausalLM.from_config(library_config, dtype=dtype)  # type: ignore[no-untyped-call]
    return model


def sketch(config: dict[str, Any]) -> Sketch:
    """Sizes of any causal model that transformers knows, from the content of a config.json, on the meta device.

    Raises ValueError for an unknown model.
    """
    model = random_model(config, torch.float32, torch.device("meta"))
    linears = [module for module in model.modules() if isinstance(module, torch.nn.Linear | Conv1D)]
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    known: Any = model.config
    n_heads = int(known.num_attention_heads)
    n_kv_heads = 1 if getattr(known, "multi_query", False) else getattr(known, "num_key_value_heads", None) or n_heads
    head_dim = getattr(known, "head_dim", None) or known.hidden_size // n_heads
    return Sketch(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        multiplied=sum(linear.weight.numel() for linear in linears),
        outputs=sum(max(linear.weight.shape) for linear in linears),
        tied=head.weight is model.get_input_embeddings().weight,
        vocabulary=int(head.weight.shape[0]),
        width=int(known.hidden_size),
        widest=max(max(linear.weight.shape) for linear in linears if linear is not head),
        layers=int(known.num_hidden_layers),
        heads=Heads(n_heads, int(n_kv_heads), int(head_dim)),
        own=False,
    )
