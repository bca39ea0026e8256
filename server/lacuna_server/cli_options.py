"""Options that several commands of the command line share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str | None, typer.Option(help="bundled, a model folder, or a hub id on this disk.")]
Family = Annotated[str | None, typer.Option(help="Prompt family, when it is not recognised.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Devices = Annotated[str | None, typer.Option(help="Several devices, as 0,1 for two GPUs.")]
SpreadOver = Annotated[str | None, typer.Option("--spread", help="Over several devices: replicas, tensor or layers.")]
Dtype = Annotated[str | None, typer.Option(help="auto, float32, float16 or bfloat16.")]
Revision = Annotated[str | None, typer.Option(help="Branch or commit of a hub model.")]
DeviceMap = Annotated[str | None, typer.Option(help="auto: spread the model over several devices.")]
TrustRemoteCode = Annotated[
    bool | None, typer.Option("--trust-remote-code", help="Run code that the model brings along.")
]
Context = Annotated[int | None, typer.Option(help="Most tokens of prompt and answer together.")]
LlamaCpp = Annotated[
    list[Path] | None, typer.Option(help="Also measure llama.cpp, with this GGUF file of the same model; repeatable.")
]
MaxTokens = Annotated[int | None, typer.Option(help="Most tokens of a suggestion.")]
