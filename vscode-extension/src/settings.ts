/** The settings, from VS Code's names to the server's. Knows nothing of VS Code. */

const OWN = new Set(["path", "bundle"]);
const NESTED: Readonly<Record<string, string>> = {
  "engine.url": "engine",
  "engine.kind": "engine_kind",
  "engine.caFile": "engine_ca_file",
};
/** They count only from the environment: a folder's settings must not run code, write files or send code elsewhere. */
const PROTECTED = new Set(["trust_remote_code", "log_file", "log_level", "engine", "engine_ca_file"]);

export type Values = Record<string, unknown>;

/** `maxTokens` -> `max_tokens`. */
export function serverName(name: string): string {
  return NESTED[name] ?? name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** What the server is told of the section `lacuna`: all that it takes from an editor. */
export function forServer(section: Values): Values {
  const told: Values = {};
  for (const [name, value] of flat(section)) {
    if (OWN.has(name) || PROTECTED.has(serverName(name))) continue;
    if (value !== null && value !== undefined) told[serverName(name)] = value;
  }
  return told;
}

/** The environment in which the server starts; `tokenFile` holds the token of a remote engine. */
export function environment(section: Values, tokenFile?: string): Record<string, string> {
  const variables: Record<string, string> = { PYTHONSAFEPATH: "1", PYTHONUNBUFFERED: "1" };
  for (const [name, value] of flat(section)) {
    if (!PROTECTED.has(serverName(name)) || value === null || value === undefined || value === "") continue;
    variables[`LACUNA_${serverName(name).toUpperCase()}`] = String(value);
  }
  if (tokenFile && variables.LACUNA_ENGINE) variables.LACUNA_ENGINE_TOKEN_FILE = tokenFile;
  return variables;
}

/** Settings that count only when the server starts. */
export const ONLY_AT_START = ["path", "trustRemoteCode", "logFile", "logLevel", "engine.url", "engine.caFile"] as const;

function flat(section: Values): [string, unknown][] {
  const { engine, ...others } = section;
  const nested = engine !== null && typeof engine === "object" ? Object.entries(engine) : [];
  return [...Object.entries(others), ...nested.map(([name, value]): [string, unknown] => [`engine.${name}`, value])];
}
