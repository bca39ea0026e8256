"""Collects Python source from the standard library and from the packages installed in this environment.

Only distributions under a permissive licence are read, and each is recorded with its licence and version. Whole
packages (`HELD_OUT_PACKAGES`) and one file in fifty of the others (by content hash) are held out, and near-duplicates
of them are excluded from the training part.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.progress import track

from lacuna_inference.models.loading.sources import bundled_folder
from training import clean
from training.paths import Paths

if TYPE_CHECKING:
    from email.message import Message

HELD_OUT_PACKAGES = frozenset((bundled_folder() / "held_out.txt").read_text(encoding="utf-8").split())
HELD_OUT_SHARE = 0.02
SEED = 20261123

_PERMISSIVE_IDS = re.compile(
    r"MIT(-0|-CMU)?|0BSD|BSD-[23]-Clause|Apache-2\.0( WITH LLVM-exception)?|ISC|PSF-2\.0|Python-2\.0(\.1)?|CNRI-Python"
    r"|HPND|Unlicense|Zlib|BSL-1\.0|CC0-1\.0",
    re.IGNORECASE,
)
"""SPDX ids. Every licence of an expression must match, even in a choice (OR)."""
_PERMISSIVE = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|HPND|Historical Permission|Unlicense|Zlib|0BSD)\b",
    re.IGNORECASE,
)
_NOT_PERMISSIVE = re.compile(
    r"\b([AL]?GPL|GNU|MPL|Mozilla|EPL|EUPL|CDDL|CC[- ]BY|LicenseRef|Proprietary|Commercial|NVIDIA)", re.IGNORECASE
)
_LEFT_OUT_FOLDERS = frozenset(
    {"_vendor", "vendored", "_vendored", "vendor", "third_party", "thirdparty_files", "node_modules", "testdata",
     "test_data", "fixtures", "data", "lib2to3", "site-packages", "idle_test", "turtledemo", "typeshed",
     "__pycache__", "encodings", "pydoc_data", "ensurepip", "debugpy", "lacuna_server", "lacuna_inference"}
)  # fmt: skip
_LEFT_OUT_FILES = re.compile(r"(_pb2(_grpc)?|_version|_mapping)\.pyi?$|^(test_|_)?(datatables|unicodedata).*")


@dataclass(frozen=True, slots=True)
class CorpusSource:
    """One candidate file: the package it belongs to, and its path on disk."""

    package: str
    path: Path


@dataclass(slots=True)
class PackageRecord:
    """What the corpus took from a package; written to the corpus report."""

    licence: str
    version: str
    held_out: bool = False
    files: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Report:
    """The content of the corpus, and why files were left out."""

    packages: dict[str, PackageRecord] = field(default_factory=dict)
    refused_packages: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    totals: dict[str, dict[str, int]] = field(default_factory=dict)


def collect(paths: Paths) -> Report:
    """Writes the training and the held-out part as JSON lines (`package`, `name`, `text`), and a report.

    All files are replaced together at the end, so that an interruption leaves the previous corpus.
    """
    paths.root.mkdir(parents=True, exist_ok=True)
    report = Report()
    sources = _sources(report)
    random.Random(SEED).shuffle(sources)
    cleaned = list(_cleaned(sources, report))
    held_out = [document for document in cleaned if _is_held_out(document)]
    train = [document for document in cleaned if not _is_held_out(document)]
    seen = clean.Seen()  # the held-out part goes first, so that the training part holds no copies of it
    for part, documents, target in (
        ("held_out", held_out, paths.held_out_corpus),
        ("train", train, paths.train_corpus),
    ):
        kept = [d for d in documents if not seen.repeats(d["text"])]
        report.left_out[f"near-duplicate ({part})"] = len(documents) - len(kept)
        _write(_new(target), kept)
        _count(report, part, kept)
    _new(paths.corpus_report).write_text(json.dumps(asdict(report), indent=1, sort_keys=True))
    for target in (paths.held_out_corpus, paths.train_corpus, paths.corpus_report):
        _new(target).replace(target)
    return report


def licence_of(distribution: Distribution) -> str | None:
    """The permissive licence that `distribution` states, or None if it states none or another kind."""
    expression, words = _stated(distribution)
    permissive = _permits(expression) if expression else _PERMISSIVE.search(words) and not _NOT_PERMISSIVE.search(words)
    return (expression or words) if permissive else None


def _stated(distribution: Distribution) -> tuple[str, str]:
    """The licence as an SPDX expression and in words; empty where not stated."""
    metadata = cast("Message", distribution.metadata)
    classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    words = " ".join(classifiers) or (metadata.get("License") or "")[:80]
    words = " ".join(words.replace("License :: OSI Approved :: ", "").split())
    return metadata.get("License-Expression") or "", words


def _permits(expression: str) -> bool:
    terms = re.split(r"\s+(?:AND|OR)\s+", expression.strip(" ()"), flags=re.IGNORECASE)
    return all(_PERMISSIVE_IDS.fullmatch(term.strip(" ()")) for term in terms)


def _sources(report: Report) -> list[CorpusSource]:
    sources = [CorpusSource("python", path) for path in Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")]
    report.packages["python"] = PackageRecord("PSF-2.0", sysconfig.get_python_version())
    for distribution in sorted(distributions(), key=lambda d: d.name.lower()):
        licence = licence_of(distribution)
        if licence is None:
            report.refused_packages[distribution.name] = " ".join(filter(None, _stated(distribution))) or "unclear"
            continue
        name = distribution.name.lower().replace("-", "_")
        report.packages[name] = PackageRecord(licence, distribution.version, name in HELD_OUT_PACKAGES)
        files = [Path(str(f.locate())) for f in distribution.files or [] if f.suffix == ".py"]
        sources += [CorpusSource(name, path) for path in sorted(files)]
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    return sorted((s for s in sources if _wanted(s, stdlib)), key=lambda s: (s.package, str(s.path)))


def _wanted(source: CorpusSource, stdlib: Path) -> bool:
    parts = source.path.parts
    if source.package == "python":
        parts = source.path.relative_to(stdlib).parts
    elif "site-packages" in parts:
        parts = parts[parts.index("site-packages") + 1 :]
    return not _LEFT_OUT_FOLDERS & set(parts) and not _LEFT_OUT_FILES.search(source.path.name)


def _cleaned(sources: list[CorpusSource], report: Report) -> Iterator[dict[str, str]]:
    with ProcessPoolExecutor() as pool:
        results = pool.map(_read, sources, chunksize=64)
        for source, result in track(zip(sources, results, strict=True), "reading", total=len(sources)):
            if isinstance(result, str):
                report.left_out[result] = report.left_out.get(result, 0) + 1
            else:
                yield {"package": source.package, "name": source.path.name, "text": result[0]}


def _read(source: CorpusSource) -> tuple[str] | str:
    """The cleaned text in a tuple, or the reason for leaving the file out."""
    try:
        text = source.path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return "unreadable"
    reason = clean.fault(text)
    return reason if reason else (clean.masked(text),)


def _is_held_out(document: dict[str, str]) -> bool:
    if document["package"] in HELD_OUT_PACKAGES:
        return True
    digest = hashlib.sha256(document["text"].encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def _new(target: Path) -> Path:
    return target.with_suffix(".new")


def _write(target: Path, documents: list[dict[str, str]]) -> None:
    with target.open("w", encoding="utf-8") as file:
        for document in documents:
            file.write(json.dumps(document, ensure_ascii=False) + "\n")


def _count(report: Report, part: str, documents: list[dict[str, str]]) -> None:
    sizes = [len(document["text"].encode()) for document in documents]
    report.totals[part] = {"files": len(sizes), "bytes": sum(sizes)}
    for document, size in zip(documents, sizes, strict=True):
        record = report.packages[document["package"]]
        record.files += 1
        record.bytes += size


def read_documents(path: Path) -> Iterator[dict[str, str]]:
    """The documents of one part, in file order."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
