"""What the corpus accepts: licences, held-out packages, excluded files, and the log of the steps."""

from __future__ import annotations

import json
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from typer.testing import CliRunner

from training import corpus
from training.__main__ import app
from training.paths import Paths


def installed(site: Path, name: str, files: dict[str, str], *stated: str) -> Distribution:
    """A distribution with these files, whose metadata has the lines `stated`."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "\n".join(("Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *stated)) + "\n"
    )
    for file, text in files.items():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text(text)
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    return Distribution.at(info)


@pytest.mark.parametrize(
    ("stated", "licence"),
    [
        ("License-Expression: MIT", "MIT"),
        ("License-Expression: Apache-2.0 OR BSD-2-Clause", "Apache-2.0 OR BSD-2-Clause"),
        ("License-Expression: MIT AND (Apache-2.0 WITH LLVM-exception)", "MIT AND (Apache-2.0 WITH LLVM-exception)"),
        ("License-Expression: MIT AND GPL-3.0-only", None),
        ("License-Expression: MPL-2.0 AND MIT", None),
        ("License-Expression: BSD-3-Clause AND LicenseRef-Own", None),
        ("License-Expression: MIT AND CC-BY-NC-4.0", None),
        ("Classifier: License :: OSI Approved :: BSD License", "BSD License"),
        ("Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)", None),
        ("License: MIT", "MIT"),
        ("License: BSD-3-Clause AND LGPLv2+", None),
        ("License: GPLv2 and Apache 2.0", None),
        ("License: MPL2 / MIT", None),
        ("License: as you like", None),
        ("Summary: says nothing", None),
    ],
)
def test_only_entirely_permissive_licences_are_accepted(tmp_path: Path, stated: str, licence: str | None) -> None:
    assert corpus.licence_of(installed(tmp_path, "some", {}, stated)) == licence


def module(name: str) -> str:
    """A file like no other."""
    name = name.translate({ord(str(digit)): letter for digit, letter in enumerate("abcdefghij")})
    return "".join(f"def {name}_{n}(argument):\n    return {name}.compute(argument, {n})\n\n\n" for n in range(12))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Distributions of which one is held out and one not permissive, and an empty standard library."""
    site, stdlib = tmp_path / "site-packages", tmp_path / "stdlib"
    stdlib.mkdir()
    found = [
        installed(site, "good", {f"good/m{n}.py": module(f"good_{n}") for n in range(200)}, "License: MIT"),
        installed(site, "copy", {"copy/a.py": module("kept_away"), "copy/data/b.py": module("b")}, "License: MIT"),
        installed(site, "click", {"click/a.py": module("kept_away")}, "License-Expression: BSD-3-Clause"),
        installed(site, "closed", {"closed/a.py": module("closed")}, "License: Proprietary"),
    ]
    monkeypatch.setattr(corpus, "distributions", lambda: found)
    monkeypatch.setattr(corpus.sysconfig, "get_paths", lambda: {"stdlib": str(stdlib)})
    return Paths(tmp_path / "work")


def test_packages_and_a_share_of_files_are_held_out_and_nothing_repeats_them(packages: Paths) -> None:
    report = corpus.collect(packages)
    held_out = list(corpus.read_documents(packages.held_out_corpus))
    train = list(corpus.read_documents(packages.train_corpus))
    assert {d["package"] for d in train} == {"good"}  # the copy of a held-out file is gone, and so is what is data
    assert {d["package"] for d in held_out} == {"good", "click"}
    assert len(train) + len(held_out) == 201
    assert 0 < len(held_out) - 1 < 20
    assert not {d["text"] for d in train} & {d["text"] for d in held_out}
    assert report.packages["click"].held_out
    assert report.packages["good"].licence == "MIT"
    assert report.refused_packages == {"closed": "Proprietary"}
    again = packages.train_corpus.read_bytes(), packages.held_out_corpus.read_bytes()
    corpus.collect(packages)
    assert again == (packages.train_corpus.read_bytes(), packages.held_out_corpus.read_bytes())


def test_a_failed_step_leaves_the_existing_corpus(packages: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus.collect(packages)
    before = {file.name: file.read_bytes() for file in packages.root.iterdir()}
    monkeypatch.setattr(corpus, "_count", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        corpus.collect(packages)
    assert before == {name: (packages.root / name).read_bytes() for name in before}


def test_every_step_is_logged_and_an_error_is_one_line(packages: Paths, tmp_path: Path) -> None:
    def step(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*arguments, "--root", str(packages.root)])
        return done.exit_code, done.output

    assert step("corpus")[0] == 0
    code, output = step("export", "--target", str(tmp_path / "exported"))
    assert (code, "Traceback" in output, "checkpoint.pt" in output) == (1, False, True)
    lines = [json.loads(line) for line in packages.steps_log.read_text().splitlines()]
    assert [line["step"] for line in lines] == ["corpus", "corpus", "export", "export"]
    assert lines[1]["result"]["totals"]["train"]["files"] > 100
    assert "checkpoint.pt" in lines[3]["failed"]
