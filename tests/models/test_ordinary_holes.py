"""Holes in ordinary programs, through all that decides what is shown: how often it is right.

Each program is complete. A hole is the end of one of its lines, or a part of it, which was taken away.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import until

from lacuna_inference.api import BUNDLED, ModelOptions, Phase
from lacuna_inference.engine.engine import ModelEngine
from lacuna_server.core.gate import EAGERNESS
from lacuna_server.core.service import Policy, complete
from lacuna_server.core.snapshot import Snapshot

CODER = Path(os.environ.get("LACUNA_MODELS") or ".models") / "qwen2.5-coder-0.5b.gguf"
HOW = "python tests/models/fetch.py FOLDER, then make test-models FOLDER=FOLDER"

pytestmark = [pytest.mark.models, pytest.mark.timeout(900)]

AVERAGES = '''\
"""Prints the average of a column of a CSV file."""

import argparse
import csv
import sys


def read_column(path: str, column: str) -> list[float]:
    """The numbers of a column. Raises KeyError if there is no such column."""
    values = []
    with open(path, newline="") as handle:
        reader = csv.DictReader(handle)
        for row in reader:
            values.append(float(row[column]))
    return values


def average(values: list[float]) -> float:
    if not values:
        raise ValueError("no values")
    return sum(values) / len(values)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--column", default="value")
    args = parser.parse_args()
    try:
        values = read_column(args.path, args.column)
    except KeyError:
        print(f"no column {args.column}", file=sys.stderr)
        return 1
    print(average(values))
    return 0


if __name__ == "__main__":
    sys.exit(main())
'''

STOCK = '''\
"""A stock of parts."""

from dataclasses import dataclass, field


@dataclass
class Part:
    name: str
    price: float
    count: int = 0

    @property
    def value(self) -> float:
        return self.price * self.count


@dataclass
class Stock:
    parts: dict[str, Part] = field(default_factory=dict)

    def add(self, name: str, price: float, count: int = 1) -> Part:
        part = self.parts.get(name)
        if part is None:
            part = Part(name, price)
            self.parts[name] = part
        part.count += count
        return part

    def remove(self, name: str, count: int = 1) -> None:
        part = self.parts[name]
        if part.count < count:
            raise ValueError(f"only {part.count} of {name} left")
        part.count -= count
        if part.count == 0:
            del self.parts[name]

    def total(self) -> float:
        return sum(part.value for part in self.parts.values())

    def __len__(self) -> int:
        return len(self.parts)

    def __contains__(self, name: str) -> bool:
        return name in self.parts
'''

WORDS = '''\
"""Counts the words of text files."""

import json
import re
from collections import Counter
from pathlib import Path

WORD = re.compile(r"[a-z]+")


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def count_file(path: Path) -> Counter[str]:
    text = path.read_text(encoding="utf-8")
    return Counter(words(text))


def count_folder(folder: Path) -> Counter[str]:
    total: Counter[str] = Counter()
    for path in sorted(folder.glob("*.txt")):
        total.update(count_file(path))
    return total


def longest(counts: Counter[str]) -> str:
    return max(counts, key=len)


def save(counts: Counter[str], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(counts, file, indent=2)


def load(path: Path) -> Counter[str]:
    with path.open(encoding="utf-8") as file:
        return Counter(json.load(file))
'''


@dataclass(frozen=True)
class Hole:
    """In `program`, of the line that is `kept` + `gone` + `rest` without its indentation, `gone` was taken away.

    `others` are other texts that a person could have written there.
    """

    program: str
    kept: str
    gone: str
    rest: str = ""
    others: tuple[str, ...] = ()

    @property
    def snapshot(self) -> Snapshot:
        lines = self.program.split("\n")
        whole = self.kept + self.gone + self.rest
        (number,) = (number for number, line in enumerate(lines) if line.strip() == whole)
        blanks = lines[number][: -len(whole)]
        before = "\n".join([*lines[:number], blanks + self.kept])
        text = before + "\n".join([self.rest, *lines[number + 1 :]])
        return Snapshot(text, len(before), "program.py", "file:///program.py", language="python")

    def is_right(self, shown: str) -> bool:
        """Whether the text is one of those, or a beginning that ends with a word."""
        for text in (self.gone, *self.others):
            if text == shown or (text.startswith(shown) and not re.match(r"\w\w", text[len(shown) - 1 :])):
                return bool(shown)
        return False


HOLES = [
    Hole(AVERAGES, "", "reader = csv.DictReader(handle)"),
    Hole(AVERAGES, "for row in ", "reader:"),
    Hole(AVERAGES, "values.append(", "float(row[column])", ")"),
    Hole(AVERAGES, "", "return sum(values) / len(values)"),
    Hole(AVERAGES, "raise ", 'ValueError("no values")', others=('ValueError("values must not be empty")',)),
    Hole(AVERAGES, "args = ", "parser.parse_args()"),
    Hole(AVERAGES, "values = read_column(", "args.path, args.column", ")"),
    Hole(AVERAGES, "except ", "KeyError:", others=("KeyError as error:", "KeyError as e:")),
    Hole(AVERAGES, "", "sys.exit(main())", others=("main()", "raise SystemExit(main())")),
    Hole(STOCK, "return self.price ", "* self.count"),
    Hole(STOCK, "part = self.parts", ".get(name)", others=(".get(name, None)",)),
    Hole(STOCK, "if part is ", "None:"),
    Hole(STOCK, "", "self.parts[name] = part"),
    Hole(STOCK, "part.count += ", "count"),
    Hole(STOCK, "if part.count ", "< count:"),
    Hole(STOCK, "raise ValueError(", 'f"only {part.count} of {name} left"', ")", ('"not enough parts"',)),
    Hole(STOCK, "if part.count ", "== 0:", others=("<= 0:", "< 1:")),
    Hole(STOCK, "return sum(", "part.value for part in self.parts.values()", ")"),
    Hole(STOCK, "return len(", "self.parts", ")"),
    Hole(STOCK, "return name ", "in self.parts"),
    Hole(WORDS, "return WORD.", "findall(text.lower())", others=("findall(text)",)),
    Hole(WORDS, "total.update(", "count_file(path)", ")"),
    Hole(WORDS, "return max(", "counts, key=len", ")"),
    Hole(WORDS, "json.dump(", "counts, file, indent=2", ")", ("counts, file, indent=4", "counts, file)")),
    Hole(WORDS, "return Counter(", "json.load(file)", ")"),
]


def shown(engine: ModelEngine, hole: Hole) -> str:
    """The first line that is shown while somebody types there; empty for nothing."""
    answer = asyncio.run(complete(engine, hole.snapshot, Policy(eagerness=EAGERNESS)))
    return answer.texts[0].split("\n")[0].strip() if answer.texts else ""


@pytest.fixture(scope="module")
def answers(request: pytest.FixtureRequest) -> Iterator[list[tuple[Hole, str]]]:
    with closing(ModelEngine(ModelOptions(request.param, device="cpu", context=1024))) as engine:
        engine.start()
        until(lambda: engine.state.phase is Phase.WARM, 120)
        yield [(hole, shown(engine, hole)) for hole in HOLES]


def told(answers: list[tuple[Hole, str]]) -> str:
    return "\n".join(
        f"{hole.is_right(text)!s:6}{hole.kept}|{hole.gone}|{hole.rest}  {text!r}" for hole, text in answers
    )


@pytest.mark.skipif(not CODER.is_file(), reason=f"no real models are named: {HOW}")
@pytest.mark.parametrize("answers", [str(CODER)], indirect=True)
def test_a_real_model_is_right_in_most_holes(answers: list[tuple[Hole, str]]) -> None:
    assert sum(hole.is_right(text) for hole, text in answers) >= 18, told(answers)


@pytest.mark.parametrize("answers", [BUNDLED], indirect=True)
def test_the_bundled_model_is_more_often_silent_than_wrong(answers: list[tuple[Hole, str]]) -> None:
    wrong = [text for hole, text in answers if text and not hole.is_right(text)]
    assert len(wrong) < sum(not text for _, text in answers), told(answers)
