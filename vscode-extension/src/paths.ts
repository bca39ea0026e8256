/** Expands variables in paths from the settings. Independent of VS Code. */

import * as path from "node:path";

export interface Variables {
  home: string;
  /** The first workspace folder; undefined if there is none or it is not trusted. */
  workspace?: string | undefined;
  environment: Readonly<Record<string, string | undefined>>;
}

/**
 * `text` as an absolute path, with `~`, `${userHome}`, `${workspaceFolder}` and `${env:NAME}` replaced. Relative paths
 * are resolved in the workspace. Undefined for an empty text and for unknown variables.
 */
export function expand(text: string, variables: Variables): string | undefined {
  let isKnown = text.trim() !== "";
  const replaced = text.trim().replace(/^~(?=$|[/\\])|\$\{([^}]*)\}/g, (whole, name: string | undefined) => {
    const value = whole === "~" ? variables.home : valueOf(name ?? "", variables);
    isKnown &&= value !== undefined;
    return value ?? "";
  });
  if (!isKnown) return undefined;
  if (path.isAbsolute(replaced)) return path.normalize(replaced);
  return variables.workspace === undefined ? undefined : path.join(variables.workspace, replaced);
}

function valueOf(name: string, variables: Variables): string | undefined {
  if (name === "userHome") return variables.home;
  if (name === "workspaceFolder") return variables.workspace;
  return name.startsWith("env:") ? variables.environment[name.slice(4)] : undefined;
}
