/** Files of one process that must not outlive it. Knows nothing of VS Code. */

import * as fs from "node:fs";
import * as path from "node:path";

const TOKEN = /^token-(\d+)$/;

export function tokenFile(folder: string, pid: number): string {
  return path.join(folder, `token-${pid}`);
}

/** Removes the token files in `folder` of processes that have ended without doing it. */
export function removeStale(folder: string, lives: (pid: number) => boolean): void {
  for (const name of fs.existsSync(folder) ? fs.readdirSync(folder) : []) {
    const pid = Number(TOKEN.exec(name)?.[1] ?? Number.NaN);
    if (Number.isInteger(pid) && !lives(pid)) fs.rmSync(path.join(folder, name), { force: true });
  }
}

/** Whether a process of that number runs, of whichever user. */
export function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
