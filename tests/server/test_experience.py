"""The file of outcomes: shared by servers, never larger than needed, left alone where it is not understood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lacuna_inference.errors import LacunaError
from lacuna_server import experience
from lacuna_server.experience import Experience, read


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "experience.json"


def learn(experience: Experience, count: int, right: bool, chance: float = 0.5, model: str = "m") -> None:
    for _ in range(count):
        experience.add(model, chance, right)


def test_outcomes_correct_later_chances_at_once_and_after_a_restart(file: Path) -> None:
    first = Experience(file)
    assert first.corrected("m", 0.5) == 0.5
    learn(first, 200, right=False)
    assert (corrected := first.corrected("m", 0.5)) < 0.15
    first.save()
    assert Experience(file).corrected("m", 0.5) == corrected


def test_each_model_has_its_own_and_is_known_by_its_name(file: Path) -> None:
    known = Experience(file)
    learn(known, 50, right=True, model="/models/Coder.gguf")
    assert known.corrected("coder.gguf", 0.5) > 0.6
    assert known.corrected("other", 0.5) == 0.5


def test_several_servers_add_to_one_file(file: Path) -> None:
    one, other = Experience(file), Experience(file)
    learn(one, 3, right=True)
    learn(other, 4, right=False)
    one.save()
    other.save()
    other.save()
    (bins,) = read(file).values()
    assert (sum(o.count for o in bins), sum(o.right for o in bins)) == (7, 3)


def test_old_outcomes_count_less(file: Path) -> None:
    known = Experience(file)
    learn(known, experience._MOST, right=True)
    known.save()
    learn(known, experience._MOST, right=False)
    known.save()
    (bins,) = read(file).values()
    assert sum(o.count for o in bins) <= experience._MOST
    assert known.corrected("m", 0.5) < 0.51


def test_without_a_file_nothing_is_learned(tmp_path: Path) -> None:
    known = Experience(None)
    learn(known, 100, right=False)
    known.save()
    assert known.corrected("m", 0.5) == 0.5
    assert list(tmp_path.iterdir()) == []


def test_what_was_learned_is_forgotten_with_the_file(file: Path) -> None:
    known = Experience(file)
    learn(known, 100, right=False)
    known.save()
    known.file = None
    assert known.corrected("m", 0.5) == 0.5
    known.file = file
    assert known.corrected("m", 0.5) < 0.2


@pytest.mark.parametrize(
    "content",
    ["[1]", "null", "{", '{"m": 1}', '{"m": {"1": 2}}', '{"m": {"1": [1, 2]}}', '{"m": {"99": [1, 1]}}',
     '{"m": {"x": [1, 1]}}', '{"m": {"1": [1.5, 1]}}', '{"m": {"1": [true, 1]}}', '{"m": {"1": [1, -1]}}',
     "[" * 100_000],
    ids=lambda content: content[:30],
)  # fmt: skip
def test_a_file_with_something_else_is_named_and_left_alone(file: Path, content: str) -> None:
    file.write_text(content, encoding="utf-8")
    with pytest.raises(LacunaError, match="something else than outcomes"):
        read(file)
    known = Experience(file)
    learn(known, 10, right=True)
    known.save()
    assert file.read_text(encoding="utf-8") == content


def test_the_file_holds_numbers_and_a_model_s_name_only(file: Path) -> None:
    known = Experience(file)
    learn(known, 1, right=True, model="/home/me/secret-project/coder.gguf")
    known.save()
    assert json.loads(file.read_text(encoding="utf-8")) == {"coder.gguf": {"14": [1, 1]}}
