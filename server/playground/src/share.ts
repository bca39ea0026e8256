/** The text and the settings in the address, and both on the clipboard. */

import { isLanguage, type Settings } from "./settings";

export interface Shared {
  readonly text: string;
  readonly settings: Partial<Settings>;
}

const NUMBERS = ["length", "temperature", "topP", "count"] as const;

export function encodeShared(text: string, settings: Settings): string {
  const bytes = new TextEncoder().encode(JSON.stringify({ text, ...settings }));
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** What a fragment says; null for one that nobody here has written. */
export function decodeShared(fragment: string): Shared | null {
  const packed = fragment.replace(/^#/, "");
  if (!packed) return null;
  try {
    const letters = atob(packed.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
    return checked(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
  } catch {
    return null;
  }
}

function checked(found: unknown): Shared | null {
  if (typeof found !== "object" || found === null) return null;
  const { text, language, ...rest } = found as Record<string, unknown>;
  if (typeof text !== "string") return null;
  const numbers = NUMBERS.filter((name) => Number.isFinite(rest[name])).map((name) => [name, rest[name]]);
  return { text, settings: { ...Object.fromEntries(numbers), ...(isLanguage(language) ? { language } : {}) } };
}

/** Whether it is on the clipboard now. */
export async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedBySelection(text);
  }
}

/** Pages that come over plain HTTP from another machine have no clipboard interface. */
function copiedBySelection(text: string): boolean {
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}
