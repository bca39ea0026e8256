/** The extension's own environment: made from the wheel that it brings, and kept at its version. Knows nothing of VS Code. */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const QUIET = { maxBuffer: 2 ** 26, env: { ...process.env, PYTHONSAFEPATH: "1" } };
/** In the environment: the fingerprint of the wheel that it was made of. */
const MARK = "lacuna-wheel.sha256";

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
      await run(program, args, QUIET);
    }
    await mark(recipe.folder, recipe.wheel);
    await fs.rm(before, { recursive: true, force: true });
  } catch (error) {
    await fs.rm(recipe.folder, { recursive: true, force: true });
    await fs.rename(before, recipe.folder).catch(ignoreMissing);
    throw error;
  }
}

/** Whether the environment was made of `wheel`. */
export async function isCurrent(folder: string, wheel: string): Promise<boolean> {
  const made = await fs.readFile(path.join(folder, MARK), "utf8").catch(() => "");
  return made === (await fingerprint(wheel));
}

/**
 * Puts `wheel` into the environment that exists. No network is asked: where it needs packages that are not there, the
 * environment stays marked as old, and this throws what is missing.
 */
export async function update({ folder, wheel, windows }: Omit<Recipe, "python" | "bundle">): Promise<void> {
  const pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"];
  await run(inside(folder, windows), [...pip, "install", "--no-index", "--no-deps", "--force-reinstall", wheel], QUIET);
  await run(inside(folder, windows), [...pip, "check"], QUIET);
  await mark(folder, wheel);
}

/** The programs that make it, one after the other. */
export function commands(recipe: Recipe): [string, string[]][] {
  const offline = recipe.bundle ? ["--no-index", "--find-links", recipe.bundle] : [];
  return [
    [recipe.python, ["-m", "venv", recipe.folder]],
    [inside(recipe.folder, recipe.windows), ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...offline, recipe.wheel]],
  ];
}

/** The wheel in `folder`. */
export async function wheelIn(folder: string): Promise<string | undefined> {
  const names = await fs.readdir(folder).catch((): string[] => []);
  const found = names.filter((name) => name.startsWith("lacuna_lsp-") && name.endsWith(".whl")).sort();
  const last = found.at(-1);
  return last === undefined ? undefined : path.join(folder, last);
}

function inside(folder: string, windows: boolean): string {
  return path.join(folder, windows ? "Scripts/python.exe" : "bin/python");
}

async function mark(folder: string, wheel: string): Promise<void> {
  await fs.writeFile(path.join(folder, MARK), await fingerprint(wheel));
}

/** A build of the same version may differ. */
async function fingerprint(wheel: string): Promise<string> {
  return createHash("sha256").update(await fs.readFile(wheel)).digest("hex");
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
