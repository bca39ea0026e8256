/** Converts settings from VS Code's names to the server's. Independent of VS Code. */

const OWN = new Set(["path", "bundle"]);
const NESTED: Readonly<Record<string, string>> = {
  "engine.url": "engine",
  "engine.kind": "engine_kind",
  "engine.caFile": "engine_ca_file",
};
/** Passed by environment variables only: a folder's settings must not run code, write files or send code elsewhere. */
const PROTECTED = new Set(["trust_remote_code", "log_file", "log_level", "engine", "engine_ca_file"]);

export type Values = Record<string, unknown>;

/** `maxTokens` -> `max_tokens`. */
export function serverName(name: string): string {
  return NESTED[name] ?? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The settings of the section `lacuna` that the server accepts from an editor. */
export function forServer(section: Values): Values {
  const settings: Values = {};
  for (const [name, value] of flat(section)) {
    if (OWN.has(name) || PROTECTED.has(serverName(name))) continue;
    if (value !== null && value !== undefined) settings[serverName(name)] = value;
  }
  return settings;
}

/** The server's environment variables. `tokenFile` holds the token of a remote engine. */
export function environment(section: Values, tokenFile?: string): Record<string, string> {
  const variables: Record<string, string> = { PYTHONSAFEPATH: "1", PYTHONUNBUFFERED: "1" };
  for (const [name, value] of flat(section)) {
    if (!PROTECTED.has(serverName(name)) || value === null || value === undefined || value === "") continue;
    variables[`LACUNA_${serverName(name).toUpperCase()}`] = String(value);
  }
  if (tokenFile && variables.LACUNA_ENGINE) variables.LACUNA_ENGINE_TOKEN_FILE = tokenFile;
  return variables;
}

/** Settings that take effect only when the server starts. */
export const ONLY_AT_START = ["path", "trustRemoteCode", "logFile", "logLevel", "engine.url", "engine.caFile"] as const;

function flat(section: Values): [string, unknown][] {
  const { engine, ...others } = section;
  const nested = engine !== null && typeof engine === "object" ? Object.entries(engine) : [];
  return [...Object.entries(others), ...nested.map(([name, value]): [string, unknown] => [`engine.${name}`, value])];
}
