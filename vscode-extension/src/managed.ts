/** The extension's own environment, created from its wheel and kept at its version. Independent of VS Code. */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const QUIET = { maxBuffer: 2 ** 26, env: { ...process.env, PYTHONSAFEPATH: "1" } };
/** A file in the environment with the hash of the wheel that it was created from. */
const MARKER = "lacuna-wheel.sha256";

export interface Recipe {
  /** The interpreter that creates the environment. */
  python: string;
  folder: string;
  wheel: string;
  /** A folder with all wheels, for an installation without network access. Empty to use the package index. */
  bundle: string;
  windows: boolean;
}

/** Creates the environment, or replaces an existing one. The old one is restored if that fails. */
export async function create(recipe: Recipe, report: (message: string) => void): Promise<void> {
  const previous = `${recipe.folder}.old`;
  await fs.rm(previous, { recursive: true, force: true });
  await fs.rename(recipe.folder, previous).catch(ignoreMissing);
  try {
    for (const [program, args] of commands(recipe)) {
      report([path.basename(program), ...args.slice(0, 3)].join(" "));
      await run(program, args, QUIET);
    }
    await writeMarker(recipe.folder, recipe.wheel);
    await fs.rm(previous, { recursive: true, force: true });
  } catch (error) {
    await fs.rm(recipe.folder, { recursive: true, force: true });
    await fs.rename(previous, recipe.folder).catch(ignoreMissing);
    throw error;
  }
}

/** Whether the environment was created from `wheel`. */
export async function isCurrent(folder: string, wheel: string): Promise<boolean> {
  const installed = await fs.readFile(path.join(folder, MARKER), "utf8").catch(() => "");
  return installed === (await sha256(wheel));
}

/**
 * Installs `wheel` into the existing environment, without network access. If packages are missing, it throws an error
 * that names them, and the environment stays marked as old.
 */
export async function update({ folder, wheel, windows }: Omit<Recipe, "python" | "bundle">): Promise<void> {
  const pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"];
  await run(pythonIn(folder, windows), [...pip, "install", "--no-index", "--no-deps", "--force-reinstall", wheel], QUIET);
  await run(pythonIn(folder, windows), [...pip, "check"], QUIET);
  await writeMarker(folder, wheel);
}

/** The commands that create the environment, in order. */
export function commands(recipe: Recipe): [string, string[]][] {
  const offline = recipe.bundle ? ["--no-index", "--find-links", recipe.bundle] : [];
  return [
    [recipe.python, ["-m", "venv", recipe.folder]],
    [pythonIn(recipe.folder, recipe.windows), ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...offline, recipe.wheel]],
  ];
}

/** The path of the wheel in `folder`. */
export async function wheelIn(folder: string): Promise<string | undefined> {
  const names = await fs.readdir(folder).catch((): string[] => []);
  const wheels = names.filter((name) => name.startsWith("lacuna_lsp-") && name.endsWith(".whl")).sort();
  const last = wheels.at(-1);
  return last === undefined ? undefined : path.join(folder, last);
}

function pythonIn(folder: string, windows: boolean): string {
  return path.join(folder, windows ? "Scripts/python.exe" : "bin/python");
}

async function writeMarker(folder: string, wheel: string): Promise<void> {
  await fs.writeFile(path.join(folder, MARKER), await sha256(wheel));
}

/** The hash of a wheel: builds of the same version may differ. */
async function sha256(wheel: string): Promise<string> {
  return createHash("sha256").update(await fs.readFile(wheel)).digest("hex");
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
