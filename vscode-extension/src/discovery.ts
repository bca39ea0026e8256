/** Finds the server: the first of several locations that has it. Independent of VS Code. */

import * as path from "node:path";

export type Source = "setting" | "python" | "path" | "managed";

export interface Found {
  command: string;
  source: Source;
}

export interface Locations {
  /** The setting `lacuna.path`; empty when it is not set. */
  setting: string;
  /** The interpreter selected in the Python extension. */
  python?: string | undefined;
  /** The variable PATH. */
  searchPath: string;
  /** The folder of the extension's own environment. */
  managed: string;
  windows: boolean;
}

/** The server, or nothing. `isExecutable` says whether a file can be run. The setting excludes all other locations. */
export function discover(locations: Locations, isExecutable: (file: string) => boolean): Found | undefined {
  return candidates(locations).find(({ command }) => isExecutable(command));
}

export function candidates(locations: Locations): Found[] {
  const program = locations.windows ? "lacuna.exe" : "lacuna";
  if (locations.setting) return [{ command: locations.setting, source: "setting" }];
  const found: Found[] = [];
  if (locations.python) found.push({ command: path.join(path.dirname(locations.python), program), source: "python" });
  for (const folder of locations.searchPath.split(path.delimiter)) {
    // a relative folder would be resolved in the workspace
    if (path.isAbsolute(folder)) found.push({ command: path.join(folder, program), source: "path" });
  }
  found.push({ command: managedCommand(locations.managed, locations.windows), source: "managed" });
  return found;
}

export function managedCommand(folder: string, windows: boolean): string {
  return windows ? path.join(folder, "Scripts", "lacuna.exe") : path.join(folder, "bin", "lacuna");
}
