/** Files of a process that must not outlive it. Independent of VS Code. */

import * as fs from "node:fs";
import * as path from "node:path";

const TOKEN = /^token-(\d+)$/;

export function tokenFile(folder: string, pid: number): string {
  return path.join(folder, `token-${pid}`);
}

/** Removes the token files in `folder` whose processes have ended without removing them. */
export function removeStale(folder: string, isAlive: (pid: number) => boolean): void {
  for (const name of fs.existsSync(folder) ? fs.readdirSync(folder) : []) {
    const pid = Number(TOKEN.exec(name)?.[1] ?? Number.NaN);
    if (Number.isInteger(pid) && !isAlive(pid)) fs.rmSync(path.join(folder, name), { force: true });
  }
}

/** Whether a process with this id is running, of any user. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
