"""A model's facts, as a server reports them; read from its files' headers and its tokenizer."""

from __future__ import annotations

from lacuna_inference.api import ModelFacts
from lacuna_inference.models.loading.memory import Size
from lacuna_inference.models.loading.sources import ModelFolder
from lacuna_inference.models.loading.stored import tensors_of
from lacuna_inference.prompt import context_files
from lacuna_inference.prompt.tokenizer import PromptTokenizer


def of(folder: ModelFolder, tokenizer: PromptTokenizer, context: int, dtype: str) -> ModelFacts:
    """The facts of the model in `folder`, run with a context of `context` tokens and in `dtype`."""
    stored = stored_size(folder)
    return ModelFacts(
        family=tokenizer.family.name,
        architecture=str(folder.config.get("model_type", "")),
        parameters=stored.parameters,
        weight_bytes=stored.weight_bytes,
        dtype=dtype,
        context=context,
        vocabulary=tokenizer.size,
        begin="".join(tokenizer.token_texts(tokenizer.begin)),
        end="".join(tokenizer.token_texts(sorted(tokenizer.ends)[:1])),
        languages=folder.languages,
        shows_files=context_files.shows_files(tokenizer.family),
        mixes_files=tokenizer.family.mixes_file_ngrams,
    )


def stored_size(folder: ModelFolder) -> Size:
    """Parameters in the model's files, and the bytes that the files, or the tensors in a GGUF file, take."""
    parameters = sum(tensor.parameters for tensor in tensors_of(folder))
    if folder.gguf is not None:
        return Size(parameters, folder.gguf.weight_bytes)
    return Size(parameters, sum(file.stat().st_size for file in folder.weight_files))
