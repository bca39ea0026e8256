/** Paths as people write them in settings. Knows nothing of VS Code. */

import * as path from "node:path";

export interface Known {
  home: string;
  /** The first folder of the workspace; none where there is none, or it is not trusted. */
  workspace?: string | undefined;
  variables: Readonly<Record<string, string | undefined>>;
}

/**
 * `text` as an absolute path: `~`, `${userHome}`, `${workspaceFolder}` and `${env:NAME}` are replaced; a relative path
 * is one of the workspace. Nothing for an empty text, and where something is not known.
 */
export function expanded(text: string, known: Known): string | undefined {
  let isKnown = text.trim() !== "";
  const replaced = text.trim().replace(/^~(?=$|[/\\])|\$\{([^}]*)\}/g, (whole, name: string | undefined) => {
    const value = whole === "~" ? known.home : variable(name ?? "", known);
    isKnown &&= value !== undefined;
    return value ?? "";
  });
  if (!isKnown) return undefined;
  if (path.isAbsolute(replaced)) return path.normalize(replaced);
  return known.workspace === undefined ? undefined : path.join(known.workspace, replaced);
}

function variable(name: string, known: Known): string | undefined {
  if (name === "userHome") return known.home;
  if (name === "workspaceFolder") return known.workspace;
  return name.startsWith("env:") ? known.variables[name.slice(4)] : undefined;
}
