"""Small GGUF files for tests, and the folders of other programs that hold them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np

TOKENS = ("a", "b", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|endoftext|>")


def write_gguf(
    path: Path,
    architecture: str = "llama",
    tensors: dict[str, tuple[int, ...]] | None = None,
    tokens: Sequence[str] = TOKENS,
    type_: str | None = "model",
    file_type: int | None = 7,
    numbers: Mapping[str, int] | None = None,
) -> Path:
    """A file with the header of a small model: 32 dimensions, one layer, Q8_0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    if type_ is not None:
        writer.add_type(type_)
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    if file_type is not None:
        writer.add_file_type(file_type)
    for key, value in (numbers or {}).items():
        writer.add_uint32(key, value)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(list(tokens))
    for name, shape in (tensors if tensors is not None else {"token_embd.weight": (len(tokens), 32)}).items():
        quantized = gguf.quants.quantize(np.zeros(shape, np.float32), gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, quantized, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_split(folder: Path, stem: str, count: int) -> list[Path]:
    """A model in `count` parts."""
    parts = [folder / f"{stem}-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1)]
    return [write_gguf(part, tensors={f"blk.{n}.weight": (2, 32)}) for n, part in enumerate(parts)]


def in_ollama(folder: Path, manifest: str, layers: Sequence[tuple[str, Path]]) -> list[Path]:
    """Puts files into a folder of Ollama's as the layers of a model; returns the blobs."""
    blobs, described = [], []
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    for kind, file in layers:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        blobs.append(folder / "blobs" / f"sha256-{digest}")
        blobs[-1].write_bytes(file.read_bytes())
        media = f"application/vnd.ollama.image.{kind}"
        described.append({"mediaType": media, "digest": f"sha256:{digest}", "size": file.stat().st_size})
    target = folder / "manifests" / manifest
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"schemaVersion": 2, "config": {}, "layers": described}))
    return blobs


def in_hub(cache: Path, hub_id: str, files: Sequence[str], revision: str = "main", commit: str = "0" * 40) -> Path:
    """Puts small GGUF files into a cache of the hub's; returns the snapshot."""
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True, exist_ok=True)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / revision).write_text(commit)
    for name in files:
        written = write_gguf(repository / "blobs" / hashlib.sha256(name.encode()).hexdigest())
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(written)
    return snapshot
