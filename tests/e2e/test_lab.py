"""The lab's commands, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lacuna_server.lab import random_models

LACUNA = Path(sys.executable).with_name("lacuna")


def run_lacuna(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([LACUNA, *arguments], capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == code, done
    return done


def test_a_config_alone_is_enough(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(random_models.config_of("CodeGen-350M")))
    for name in (tmp_path, tmp_path / "config.json"):
        found = json.loads(run_lacuna("resources", str(name), "--gpu", "16GB", "--json").stdout)
        assert found[0]["sketch"]["parameters"] == 356_712_448
        assert any("card of 16GB: --dtype float16 fits" in line for line in found[0]["advice"])


def test_several_models_stand_side_by_side() -> None:
    text = run_lacuna("resources", "CodeGen-350M", "InCoder-1B", "--context", "1024").stdout
    assert "| CodeGen-350M | float16 | 713.4 MB |" in text
    assert "| InCoder-1B | int8 |" in text
    assert "KV cache, 1024 tokens" in text


def test_unknown_dtypes_and_cards_are_refused_before_anything_is_loaded() -> None:
    assert "no dtype called int3" in run_lacuna("resources", "--measure", "--dtype", "int3", code=2).stderr
    assert "no size of memory" in run_lacuna("resources", "--gpu", "large", code=2).stderr


@pytest.mark.skipif(sys.platform != "linux", reason="--measure reads /proc")
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_the_estimate_is_what_is_measured(dtype: str) -> None:
    found = json.loads(run_lacuna("resources", "bundled", "--measure", "--dtype", dtype, "--json").stdout)[0]
    (measured,) = found["measured"]
    need = next(n for n in found["needs"] if (n["kind"], n["dtype"]) == ("cpu", dtype))
    assert measured["kv"] == pytest.approx(need["kv_token"] * found["context"], rel=0.05)
    assert measured["disk"] == need["disk"]
    # a small model: libraries' own memory is some megabytes of what was measured, and one order may do instead of two
    least = need["weights"] if dtype == "int8" else 51e6
    assert least <= measured["weights"] <= need["resident"] * 1.05 + 4e6
