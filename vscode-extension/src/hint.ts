/** When to say, while the bundled model is used, that a larger one can be chosen. Independent of VS Code. */

export type Occasion = "language" | "day";

/** What is remembered: when Lacuna was first used (milliseconds since 1970), and what was said. */
export interface Memory {
  first?: number;
  said?: Occasion[];
  never?: boolean;
}

export interface Use {
  /** The setting `lacuna.model`. */
  model: string;
  /** Whether the model runs elsewhere. */
  remote: boolean;
  /** The language of the document in front, if there is one. */
  language: string | undefined;
  now: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const BUNDLED = "bundled";
/** Languages that everyone opens now and then, and that are no reason for another model. */
const ASIDE = new Set(["python", "markdown", "json", "yaml", "plaintext"]);

/** The occasion for a hint, each at most once, or nothing. */
export function occasion(memory: Memory, use: Use, languages: readonly string[]): Occasion | undefined {
  if (memory.never || use.remote || use.model !== BUNDLED) return undefined;
  const said = new Set(memory.said);
  const { language } = use;
  if (!said.has("language") && language !== undefined && languages.includes(language) && !ASIDE.has(language)) return "language";
  if (!said.size && memory.first !== undefined && use.now - memory.first >= DAY_MS) return "day";
  return undefined;
}
