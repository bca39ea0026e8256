"""What `lacuna replay` is asked to type, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lacuna_inference.errors import BadRequest
from lacuna_lab.commands.replay import Contest, Output, ReplayPlan, replay, tasks_of
from lacuna_server.settings import Settings

TEXT = "".join(f"def f{n}(a):\n    b = a\n    c = b\n    return c + {n}\n\n\n" for n in range(20))


def test_a_patient_typist_sees_no_other_files() -> None:
    with pytest.raises(BadRequest, match="--in-time"):
        replay(Settings(), ReplayPlan(other_files=True), Contest(rival=False), Output())


@pytest.mark.parametrize("other_files", [True, False])
def test_a_file_is_opened_within_its_folder_on_request(tmp_path: Path, other_files: bool) -> None:
    (tmp_path / "project/inner").mkdir(parents=True)
    file = tmp_path / "project/inner/a.py"
    file.write_text(TEXT)
    (task,) = tasks_of(ReplayPlan((tmp_path / "project",), other_files=other_files), tmp_path)
    assert task.root == (tmp_path / "project" if other_files else None)
    assert task.path == ("inner/a.py" if other_files else str(file))


def test_a_file_that_is_named_itself_has_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(TEXT)
    (task,) = tasks_of(ReplayPlan((file,), other_files=True), tmp_path)
    assert task.root is None
