"""Where each step of the pipeline reads and writes, in one module, so that steps can run separately."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Paths:
    """Files of one training run, all below `root`. Git ignores the default root."""

    root: Path

    @property
    def train_corpus(self) -> Path:
        return self.root / "train.jsonl"

    @property
    def held_out_corpus(self) -> Path:
        return self.root / "held_out.jsonl"

    @property
    def corpus_report(self) -> Path:
        return self.root / "corpus.json"

    @property
    def tokenizer(self) -> Path:
        return self.root / "tokenizer.json"

    @property
    def checkpoint(self) -> Path:
        return self.root / "checkpoint.pt"

    @property
    def log(self) -> Path:
        return self.root / "train.log.jsonl"

    @property
    def steps_log(self) -> Path:
        return self.root / "steps.log.jsonl"


DEFAULT_ROOT = HERE / "work"
RANKER = HERE.parent / "lacuna_inference" / "in_file" / "candidates" / "ranker.safetensors"
