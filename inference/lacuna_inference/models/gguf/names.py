"""The names of tensors in GGUF files, by those that the same model has in safetensors."""

from __future__ import annotations

import re

_GLOBAL = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "model.norm.bias": "output_norm.bias",
    "lm_head.weight": "output.weight",
}
_IN_LAYER = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}  # fmt: skip
_LAYER = re.compile(r"model\.layers\.(?P<number>\d+)\.(?P<module>.+)\.(?P<part>weight|bias)")


def name_in_gguf(name: str) -> str | None:
    """The name of the tensor `name`; None for one that no supported architecture has."""
    if (match := _LAYER.fullmatch(name)) is None:
        return _GLOBAL.get(name)
    module = _IN_LAYER.get(match["module"])
    return None if module is None else f"blk.{match['number']}.{module}.{match['part']}"
