/** Published models that can be fetched, from the server's catalogue. Independent of VS Code. */

import entries from "./catalogue.json";

export interface Published {
  name: string;
  title: string;
  /** What the server lists it as when it is on this machine: a hub id, with a file's name after a colon. */
  source: string;
  bytes: number;
  licence: string;
  /** Whether the licence forbids some uses. */
  conditions: boolean;
  /** By their editor ids; `*` for many. */
  languages: string[];
}

/** The models that are not on this machine, of which the server lists the names. */
export function fetchable(listed: readonly string[], published: readonly Published[] = entries): Published[] {
  const names = new Set(listed.map((name) => name.toLowerCase()));
  return published.filter(
    ({ name, source }) => !names.has(source.toLowerCase()) && !names.has(`lacuna:${name}`) && !names.has(name),
  );
}

/** `1.5 GiB`. */
export function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
