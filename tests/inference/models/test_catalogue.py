"""The catalogue agrees with itself: names, shapes, sizes, families."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from lacuna_inference.api import BUNDLED
from lacuna_inference.models import catalogue
from lacuna_inference.models.architectures import registry
from lacuna_inference.models.catalogue import Entry
from lacuna_inference.models.loading import hub, sources
from lacuna_inference.models.loading.files import weight_files
from lacuna_inference.prompt.families import by_name

ENTRIES = catalogue.entries()
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


@each
def test_the_own_forward_runs_its_shape_which_has_as_many_parameters(entry: Entry) -> None:
    sketch = registry.sketch(entry.shape, entry.context)
    assert sketch is not None
    assert sketch.own
    assert sketch.parameters == pytest.approx(entry.parameters, rel=0.001 if "shape" in entry.unverified else 0)


@each
def test_its_files_have_the_size_of_so_many_weights(entry: Entry) -> None:
    sizes = [34 / 32] if entry.file else [2, 4]
    assert any(entry.bytes == pytest.approx(size * entry.parameters, rel=0.02) for size in sizes)


@each
def test_its_facts_are_well_formed(entry: Entry) -> None:
    assert by_name(entry.family).infill is not None
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", entry.name)
    assert entry.sha256 == "" or re.fullmatch("[0-9a-f]{64}", entry.sha256)
    assert set(entry.unverified) <= {field.name for field in fields(Entry)}
    assert entry.languages
    assert (entry.name == BUNDLED) == (entry.source == "")
    if entry.source:
        assert hub.split_name(entry.source) == (entry.hub_id, entry.file)


def test_names_are_unique_and_found_in_any_case() -> None:
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    assert catalogue.find("Qwen2.5-Coder-1.5B") == catalogue.find("qwen2.5-coder-1.5b") is not None
    assert catalogue.find("nothing") is None


def test_the_bundled_model_is_as_the_catalogue_says() -> None:
    entry, folder = catalogue.find(BUNDLED), sources.find(BUNDLED)
    assert entry is not None
    assert entry.bytes == sum(file.stat().st_size for file in weight_files(folder.path))
    assert entry.languages == folder.languages
    assert entry.shape.items() <= folder.config.items()


def test_languages() -> None:
    few, many = (catalogue.find(name) for name in ("santacoder-1.1b", "qwen2.5-coder-0.5b"))
    assert few is not None
    assert many is not None
    assert few.knows(["python", "java"])
    assert not few.knows(["python", "go"])
    assert many.knows(["go", "anything"])
