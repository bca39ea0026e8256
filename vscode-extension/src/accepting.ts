/** How much of a suggestion was accepted, told from the text before and after. Knows nothing of VS Code. */

export interface Suggestion {
  /** What the server calls it. */
  id: string;
  /** With `\n` as line end, as the server counts. */
  text: string;
}

/** Suggestions that were shown at one place, and how much of them was taken since. */
export class Offer {
  private taken = "";

  constructor(private readonly suggestions: readonly Suggestion[]) {}

  /** Whether a part of it was taken. */
  get begun(): boolean {
    return this.taken !== "";
  }

  /** Notes that `inserted` was taken; what is to be told, or nothing when it is of no suggestion. */
  take(inserted: string): { id: string; length: number } | undefined {
    const taken = this.taken + inserted.replace(/\r\n?/g, "\n");
    const suggestion = this.suggestions.find(({ text }) => text.startsWith(taken));
    if (!inserted || suggestion === undefined) return undefined;
    this.taken = taken;
    return { id: suggestion.id, length: [...taken].length };
  }
}
