"""Looks at the packaged extension: what is in it, what is not, and how large it is."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
MOST_MIB = 40
NEEDED = ("package.json", "package.nls.json", "package.nls.zh-cn.json", "dist/extension.js", "media/icon.png",
          "l10n/bundle.l10n.zh-cn.json", "readme.md", "changelog.md")  # fmt: skip


def main() -> int:
    """Prints size and contents; 1 when something is wrong."""
    manifest = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
    package = HERE / f"{manifest['name']}-{manifest['version']}.vsix"
    mib = package.stat().st_size / 2**20
    names = [n.removeprefix("extension/") for n in zipfile.ZipFile(package).namelist() if n.startswith("extension/")]
    wrong = [f"{name} is missing" for name in NEEDED if name not in names]
    wheels = [name for name in names if name.endswith(".whl")]
    wrong += [] if len(wheels) == 1 else [f"it has {len(wheels)} wheels"]
    strange = [n for n in names if n.startswith(("src/", "test/", "node_modules/", "dist/test")) or n.endswith(".map")]
    wrong += [f"{name} does not belong there" for name in strange]
    wrong += [f"it has {mib:.1f} MiB, more than {MOST_MIB}"] if mib > MOST_MIB else []
    print(f"{package.name}: {mib:.1f} MiB, {len(names)} files")
    print("\n".join(wrong) if wrong else ", ".join(sorted(names)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
