/** Where the server is: of several places the first that has it. Knows nothing of VS Code. */

import * as path from "node:path";

export type Source = "setting" | "python" | "path" | "managed";

export interface Found {
  command: string;
  source: Source;
}

export interface Places {
  /** The setting `lacuna.path`; empty when it is not set. */
  setting: string;
  /** The interpreter that is chosen in the Python extension. */
  python?: string | undefined;
  /** The variable PATH. */
  searched: string;
  /** The folder of the extension's own environment. */
  managed: string;
  windows: boolean;
}

/** The server, or nothing. `runs` tells whether a file can be run. A path that was set is the only one that counts. */
export function discover(places: Places, runs: (file: string) => boolean): Found | undefined {
  return candidates(places).find(({ command }) => runs(command));
}

export function candidates(places: Places): Found[] {
  const program = places.windows ? "lacuna.exe" : "lacuna";
  if (places.setting) return [{ command: places.setting, source: "setting" }];
  const found: Found[] = [];
  if (places.python) found.push({ command: path.join(path.dirname(places.python), program), source: "python" });
  for (const folder of places.searched.split(path.delimiter)) {
    // a relative folder would be one of the workspace
    if (path.isAbsolute(folder)) found.push({ command: path.join(folder, program), source: "path" });
  }
  found.push({ command: managedCommand(places.managed, places.windows), source: "managed" });
  return found;
}

export function managedCommand(folder: string, windows: boolean): string {
  return windows ? path.join(folder, "Scripts", "lacuna.exe") : path.join(folder, "bin", "lacuna");
}
