"""Looks at the packaged extension: what is in it, what is not, how large it is, and whose address it names."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MOST_MIB = 40
NEEDED = ("package.json", "package.nls.json", "package.nls.zh-cn.json", "dist/extension.js", "media/icon.png",
          "l10n/bundle.l10n.zh-cn.json", "readme.md", "changelog.md")  # fmt: skip


def main() -> int:
    """Prints size and contents; 1 when something is wrong. The address of a publisher's copy is an argument."""
    manifest = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
    url = sys.argv[1] if len(sys.argv) > 1 else None
    package = HERE / f"{manifest['name']}-{manifest['version']}.vsix"
    mib = package.stat().st_size / 2**20
    names = [n.removeprefix("extension/") for n in zipfile.ZipFile(package).namelist() if n.startswith("extension/")]
    wrong = [f"{name} is missing" for name in NEEDED if name not in names]
    wheels = [name for name in names if name.endswith(".whl")]
    wrong += [] if len(wheels) == 1 else [f"it has {len(wheels)} wheels"]
    strange = [n for n in names if n.startswith(("src/", "test/", "node_modules/", "dist/test")) or n.endswith(".map")]
    wrong += [f"{name} does not belong there" for name in strange]
    with zipfile.ZipFile(package) as archive:
        packaged = json.loads(archive.read("extension/package.json"))
    found = {name: packaged.get(name) for name in _addresses("")}
    wrong += [] if found == (_addresses(url) if url else dict.fromkeys(found)) else [f"its addresses are {found}"]
    wrong += [f"package.json has kept {name}" for name in found if name in manifest]
    wrong += [f"it has {mib:.1f} MiB, more than {MOST_MIB}"] if mib > MOST_MIB else []
    print(f"{package.name}: {mib:.1f} MiB, {len(names)} files")
    print("\n".join(wrong) if wrong else ", ".join(sorted(names)))
    return 1 if wrong else 0


def _addresses(url: str) -> dict[str, Any]:
    return {"homepage": url, "bugs": {"url": f"{url}/issues"}, "repository": {"type": "git", "url": url}}


if __name__ == "__main__":
    sys.exit(main())
