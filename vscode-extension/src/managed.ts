/** The extension's own environment: made once, from the wheel that it brings. Knows nothing of VS Code. */

import { execFile } from "node:child_process";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Recipe {
  /** The interpreter that makes the environment. */
  python: string;
  folder: string;
  wheel: string;
  /** A folder with all wheels: nothing is then asked of a network. */
  bundle: string;
  windows: boolean;
}

/** Makes the environment; one that exists is made anew, and the old one stays until the new one is whole. */
export async function make(recipe: Recipe, step: (message: string) => void): Promise<void> {
  const before = `${recipe.folder}.old`;
  await fs.rm(before, { recursive: true, force: true });
  await fs.rename(recipe.folder, before).catch(ignoreMissing);
  try {
    for (const [program, args] of commands(recipe)) {
      step([path.basename(program), ...args.slice(0, 3)].join(" "));
      await run(program, args, { maxBuffer: 2 ** 26, env: { ...process.env, PYTHONSAFEPATH: "1" } });
    }
    await fs.rm(before, { recursive: true, force: true });
  } catch (error) {
    await fs.rm(recipe.folder, { recursive: true, force: true });
    await fs.rename(before, recipe.folder).catch(ignoreMissing);
    throw error;
  }
}

/** The programs that make it, one after the other. */
export function commands(recipe: Recipe): [string, string[]][] {
  const inside = path.join(recipe.folder, recipe.windows ? "Scripts/python.exe" : "bin/python");
  const offline = recipe.bundle ? ["--no-index", "--find-links", recipe.bundle] : [];
  return [
    [recipe.python, ["-m", "venv", recipe.folder]],
    [inside, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...offline, recipe.wheel]],
  ];
}

/** The wheel in `folder`. */
export async function wheelIn(folder: string): Promise<string | undefined> {
  const names = await fs.readdir(folder).catch((): string[] => []);
  const found = names.filter((name) => name.startsWith("lacuna_lsp-") && name.endsWith(".whl")).sort();
  const last = found.at(-1);
  return last === undefined ? undefined : path.join(folder, last);
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
