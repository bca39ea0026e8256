"""Finding GGUF files: by path, in the hub's cache, and where other programs keep them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from small_gguf import in_hub, in_ollama, write_gguf, write_split

from lacuna_inference.errors import LacunaError, ModelNotFound, ModelUnusable
from lacuna_inference.models.loading import elsewhere, places, sources

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 269060280\n"


@pytest.fixture(autouse=True)
def home(no_models: Path) -> Path:
    return no_models


def found(name: str | Path) -> Path:
    """The file of a GGUF model."""
    folder = sources.find(str(name))
    assert folder.gguf is not None
    assert folder.name == str(name)
    assert folder.weight_files == list(folder.gguf.paths)
    assert folder.config["model_type"] == folder.gguf.architecture
    return folder.path


def refusal(name: str | Path, kind: type[LacunaError] = ModelUnusable) -> str:
    with pytest.raises(kind) as caught:
        sources.find(str(name))
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    return str(caught.value)


# Paths


def test_a_file_is_a_model(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "m.gguf")
    assert found(file) == file


def test_a_file_in_the_home(home: Path) -> None:
    write_gguf(home / "m.GGUF")
    assert found("~/m.GGUF") == home / "m.GGUF"


def test_a_file_without_the_suffix(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "sha256-0")
    assert found(file) == file


@pytest.mark.parametrize("name", ["a:b.gguf", "C:m.gguf", "ollama:x", "owner/repo:Q8_0"])
def test_a_path_with_a_colon_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_gguf(tmp_path / name)
    assert found(name) == Path(name)
    assert found(tmp_path / name) == tmp_path / name


def test_a_drive_is_no_program(tmp_path: Path) -> None:
    assert "There is no file C:\\models\\x.gguf" in refusal("C:\\models\\x.gguf", ModelNotFound)


def test_any_part_of_a_split_model_names_it(tmp_path: Path) -> None:
    parts = write_split(tmp_path, "m", 3)
    for part in parts:
        assert found(part) == parts[0]
    folder = sources.find(str(parts[1]))
    assert folder.weight_files == parts
    assert folder.gguf is not None
    assert len(folder.gguf.tensors) == 3


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    parts = write_split(tmp_path, "m", 3)
    parts[0].unlink()
    assert f"{parts[0]} is missing, one of the 3 parts" in refusal(parts[2])
    assert f"{parts[0]} is missing" in refusal(tmp_path)


def test_numbers_that_are_no_parts(tmp_path: Path) -> None:
    for name in ("m-00000-of-00000.gguf", "m-00003-of-00002.gguf"):
        assert found(write_gguf(tmp_path / name)) == tmp_path / name


def test_a_folder_with_one_file(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "one" / "m.gguf")
    (tmp_path / "one" / "config.json").write_text('{"model_type": "llama"}')
    write_gguf(tmp_path / "one" / "mmproj-m-f16.gguf", type_="mmproj", architecture="clip")
    assert found(tmp_path / "one") == file


def test_a_folder_with_a_split_model(tmp_path: Path) -> None:
    parts = write_split(tmp_path, "m", 2)
    assert found(tmp_path) == parts[0]


@pytest.mark.parametrize(
    ("name", "type_", "architecture"),
    [("mmproj-x.gguf", None, "clip"), ("lora.gguf", "adapter", "llama"), ("data.imatrix.gguf", "imatrix", "llama"),
     ("eye.gguf", "mmproj", "clip"), ("embed.gguf", "model", "bert")],
)  # fmt: skip
def test_files_beside_a_model_do_not_count(tmp_path: Path, name: str, type_: str | None, architecture: str) -> None:
    file = write_gguf(tmp_path / "m.gguf")
    write_gguf(tmp_path / name, architecture=architecture, type_=type_)
    assert found(tmp_path) == file


def test_a_folder_with_several_lists_them(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write_gguf(tmp_path / f"{name}.gguf")
    message = refusal(tmp_path)
    assert f"holds 4 GGUF models (a.gguf, b.gguf, c.gguf, ...). Name one, such as {tmp_path}/a.gguf" in message


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no config.json and no GGUF model" in refusal(tmp_path / "empty")


# Files that are no models


def test_another_file(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"weights")
    assert "is a file, and no GGUF file" in refusal(tmp_path / "x.bin", ModelNotFound)


@pytest.mark.parametrize(
    ("content", "words"),
    [(POINTER, "is a Git LFS pointer"), (b"", "is empty"), (b"GGML" + bytes(20), "is no GGUF file"),
     (b"GGUF\x00\x00\x00\x03" + bytes(20), "is big-endian"), (b"GGUF\x09\x00\x00\x00" + bytes(20), "version 9"),
     (b"GGUF\x03\x00\x00\x00", "is cut off")],
)  # fmt: skip
def test_what_a_file_is_instead(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(content)
    message = refusal(file)
    assert str(file) in message
    assert words in message


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.999])
def test_a_truncated_file(tmp_path: Path, kept: float) -> None:
    whole = write_gguf(tmp_path / "m.gguf", tensors={"a.weight": (64, 64)}).read_bytes()
    (tmp_path / "m.gguf").write_bytes(whole[: int(kept * len(whole))])
    assert "m.gguf is cut off" in refusal(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("type_", "architecture", "words"),
    [("mmproj", "clip", "the projector of a multimodal model"), (None, "clip", "the projector of a multimodal model"),
     ("adapter", "llama", "an adapter (LoRA)"), (None, "nomic-bert", "an embedding model (nomic-bert)"),
     (None, "whisper", "a model for speech"), (None, "flux", "a model for images or video (flux)")],
)  # fmt: skip
def test_what_is_no_language_model(tmp_path: Path, type_: str | None, architecture: str, words: str) -> None:
    file = write_gguf(tmp_path / "m.gguf", architecture=architecture, type_=type_)
    assert words in refusal(file)
    assert "not a language model" in refusal(file)


def test_a_vocabulary_is_no_model(tmp_path: Path) -> None:
    assert "is a vocabulary" in refusal(write_gguf(tmp_path / "vocab.gguf", tensors={}))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs permissions that bind")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "m.gguf")
    file.chmod(0)
    assert "cannot be read" in refusal(file)


# The hub's cache

CODER = "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF"
FILES = ("qwen2.5-coder-0.5b-instruct-q8_0.gguf", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf")


@pytest.mark.parametrize("asked", [FILES[0], FILES[0].upper(), FILES[0].removesuffix(".gguf"), "Q8_0", "q8_0"])
def test_a_file_of_the_hub_s_cache(home: Path, asked: str) -> None:
    snapshot = in_hub(home / "hub", CODER, [*FILES, "mmproj-q8_0.gguf"])
    assert found(f"{CODER}:{asked}") == snapshot / FILES[0]


def test_a_hub_id_alone(home: Path) -> None:
    one = in_hub(home / "hub", "some/one-GGUF", FILES[:1])
    assert found("some/one-GGUF") == one / FILES[0]
    in_hub(home / "hub", "some/two-GGUF", FILES)
    assert f"such as some/two-GGUF:{FILES[1]}" in refusal("some/two-GGUF")


def test_quantizations_in_folders_and_parts(home: Path) -> None:
    names = [
        "Q4_K_M/m-Q4_K_M-00001-of-00002.gguf",
        "Q4_K_M/m-Q4_K_M-00002-of-00002.gguf",
        "UD-Q4_K_XL/m-UD-Q4_K_XL.gguf",
    ]
    snapshot = in_hub(home / "hub", "some/split-GGUF", names)
    assert found("some/split-GGUF:Q4_K_M") == snapshot / names[0]
    assert found(f"some/split-GGUF:{names[1]}") == snapshot / names[0]
    assert found("some/split-GGUF:m-Q4_K_M-00002-of-00002") == snapshot / names[0]
    assert found("some/split-GGUF:Q4_K_XL") == snapshot / names[2]


def test_what_the_cache_has_instead(home: Path) -> None:
    in_hub(home / "hub", CODER, FILES)
    message = refusal(f"{CODER}:Q2_K", ModelNotFound)
    assert f"{CODER} is on this disk without Q2_K (" in message
    assert f"lacuna models fetch {CODER}:Q2_K" in message
    assert "may be 2 files" not in message
    in_hub(home / "hub", "some/two", ["a-Q8_0.gguf", "b-Q8_0.gguf"])
    assert "may be 2 files (a-Q8_0.gguf, b-Q8_0.gguf). Name one" in refusal("some/two:Q8_0", ModelNotFound)


@pytest.mark.parametrize("asked", ["../../x.gguf", "..", "/etc/passwd", "*", "", "Q8_0:Q8_0"])
def test_names_that_leave_the_snapshot_find_nothing(home: Path, asked: str) -> None:
    in_hub(home / "hub", CODER, FILES)
    write_gguf(home / "hub" / "x.gguf")
    with pytest.raises(LacunaError):
        sources.find(f"{CODER}:{asked}")


def test_a_model_that_is_not_there_names_the_command() -> None:
    assert "Run: lacuna models fetch a/b:Q8_0" in refusal("a/b:Q8_0", ModelNotFound)


def test_a_revision_of_the_hub_s_cache(home: Path) -> None:
    snapshot = in_hub(home / "hub", CODER, FILES, revision="v2")
    assert sources.find(f"{CODER}:Q8_0", "v2").path == snapshot / FILES[0]
    assert "--revision v3" not in refusal(f"{CODER}:Q8_0", ModelNotFound)


def test_the_cache_of_newer_versions_of_llama_cpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path / "cache"))
    snapshot = in_hub(tmp_path / "cache", CODER, FILES)
    assert found(f"{CODER}:Q8_0") == snapshot / FILES[0]


# Ollama


@pytest.mark.parametrize(
    ("name", "manifest"),
    [("qwen", "registry.ollama.ai/library/qwen/latest"), ("qwen:0.5b", "registry.ollama.ai/library/qwen/0.5b"),
     ("Qwen:0.5B", "registry.ollama.ai/library/qwen/0.5b"), ("me/qwen:a", "registry.ollama.ai/me/qwen/a"),
     ("hf.co/Some/Repo-GGUF:Q8_0", "hf.co/Some/Repo-GGUF/Q8_0"),
     ("library/qwen", "registry.ollama.ai/library/qwen/latest")],
)  # fmt: skip
def test_models_of_ollama(home: Path, tmp_path: Path, name: str, manifest: str) -> None:
    file = write_gguf(tmp_path / "m.gguf")
    eye = write_gguf(tmp_path / "eye.gguf", architecture="clip", type_="mmproj")
    layers = [("license", eye), ("projector", eye), ("model", file), ("params", eye)]
    blobs = in_ollama(home / ".ollama" / "models", manifest, layers)
    assert found(f"ollama:{name}") == blobs[2]


def test_the_folder_of_ollama_can_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_gguf(tmp_path / "m.gguf")
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "models"))
    blobs = in_ollama(tmp_path / "models", "registry.ollama.ai/library/qwen/latest", [("model", file)])
    assert found("ollama:qwen") == blobs[0]
    assert dict(elsewhere.models()) == {"ollama:qwen:latest": blobs[0]}


def test_what_ollama_does_not_have(home: Path, tmp_path: Path) -> None:
    assert "Run: ollama pull qwen" in refusal("ollama:qwen", ModelNotFound)
    folder, file = home / ".ollama" / "models", write_gguf(tmp_path / "m.gguf")
    (blob,) = in_ollama(folder, "registry.ollama.ai/library/qwen/latest", [("model", file)])
    blob.unlink()
    assert f"{blob} is missing" in refusal("ollama:qwen")
    in_ollama(folder, "registry.ollama.ai/library/qwen/latest", [("image.tensor", file)])
    assert "names no GGUF file" in refusal("ollama:qwen")
    (manifest,) = folder.glob("manifests/*/*/*/*")
    for content in ("{", "[]", '{"layers": 1}', '{"layers": [1, {"mediaType": []}]}'):
        manifest.write_text(content)
        assert str(manifest) in refusal("ollama:qwen")
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../../etc/passwd"}
    manifest.write_text(json.dumps({"layers": [layer]}))
    assert "by no digest" in refusal("ollama:qwen")


@pytest.mark.parametrize("name", ["..", "../..", "a/../b", "a/b/c/d", "-x", "a:b:c/d", "a//b", "a\0b", " "])
def test_names_that_ollama_does_not_allow(home: Path, name: str) -> None:
    (home / ".ollama" / "models" / "manifests").mkdir(parents=True)
    assert "Ollama has no model" in refusal(f"ollama:{name}", ModelNotFound)


# LM Studio and llama.cpp


@pytest.mark.parametrize(
    "name",
    ["Some/Repo-GGUF/m-Q8_0.gguf", "some/repo-gguf/M-q8_0", "Some/Repo-GGUF", "Repo-GGUF", "repo", "Repo-GGUF/m-Q8_0",
     "m-Q8_0.gguf"],
)  # fmt: skip
@pytest.mark.parametrize("folder", [".lmstudio", ".cache/lm-studio"])
def test_models_of_lm_studio(home: Path, name: str, folder: str) -> None:
    file = write_gguf(home / folder / "models" / "Some" / "Repo-GGUF" / "m-Q8_0.gguf")
    write_gguf(home / folder / "models" / "Some" / "Repo-GGUF" / "mmproj-m.gguf", architecture="clip")
    write_gguf(home / folder / "models" / "Some" / "Other" / "n.gguf")
    assert found(f"lmstudio:{name}") == file


def test_lm_studio_can_be_elsewhere(home: Path, tmp_path: Path) -> None:
    (home / ".lmstudio-home-pointer").write_text(f"{tmp_path / 'moved'}\n")
    file = write_gguf(tmp_path / "moved" / "models" / "P" / "R" / "m.gguf")
    assert found("lmstudio:P/R") == file
    (tmp_path / "moved" / "settings.json").write_text(json.dumps({"downloadsFolder": str(tmp_path / "down")}))
    other = write_gguf(tmp_path / "down" / "P" / "S" / "m.gguf")
    assert found("lmstudio:S") == other
    for broken in ("{", "[]", '{"downloadsFolder": 1}'):
        (tmp_path / "moved" / "settings.json").write_text(broken)
        assert found("lmstudio:R") == file


def test_what_lm_studio_does_not_have(home: Path) -> None:
    for name in ("a", "b"):
        write_gguf(home / ".lmstudio" / "models" / "P" / "R" / f"{name}.gguf")
    assert "may be 2 models (lmstudio:P/R/a.gguf, lmstudio:P/R/b.gguf)" in refusal("lmstudio:R", ModelNotFound)
    assert "LM Studio has no model x" in refusal("lmstudio:x", ModelNotFound)
    assert "LM Studio has no model ../R" in refusal("lmstudio:../R", ModelNotFound)


@pytest.mark.parametrize("name", ["some_repo_m-Q8_0.gguf", "Some_Repo_m-q8_0"])
def test_models_of_llama_cpp(home: Path, monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    file = write_gguf(home / ".cache" / "llama.cpp" / "some_repo_m-Q8_0.gguf")
    assert found(f"llama.cpp:{name}") == file
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path))
    assert "llama.cpp has no model" in refusal(f"llama.cpp:{name}", ModelNotFound)


@pytest.mark.parametrize(
    ("platform", "folder"), [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")]
)
def test_the_cache_of_llama_cpp(home: Path, monkeypatch: pytest.MonkeyPatch, platform: str, folder: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert places.llama_cpp() == [home / folder / "llama.cpp"]


@pytest.mark.parametrize("name", ["ollama:", "lmstudio:", "llama.cpp:", "Ollama:x", ":", "x:"])
def test_names_of_nothing(name: str) -> None:
    assert "There is no folder" in refusal(name, ModelNotFound)
