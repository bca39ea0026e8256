/** How much of a suggestion was accepted, from the text before and after. Independent of VS Code. */

export interface Suggestion {
  /** The server's id. */
  id: string;
  /** With `\n` as line end, as the server counts. */
  text: string;
}

/** Suggestions shown at one position, and how much of them has been accepted since. */
export class Offer {
  private accepted = "";

  constructor(private readonly suggestions: readonly Suggestion[]) {}

  /** Whether a part has been accepted. */
  get started(): boolean {
    return this.accepted !== "";
  }

  /** Records that `inserted` was accepted. Returns what to report, or nothing if it belongs to no suggestion. */
  accept(inserted: string): { id: string; length: number } | undefined {
    const accepted = this.accepted + inserted.replace(/\r\n?/g, "\n");
    const suggestion = this.suggestions.find(({ text }) => text.startsWith(accepted));
    if (!inserted || suggestion === undefined) return undefined;
    this.accepted = accepted;
    return { id: suggestion.id, length: [...accepted].length };
  }
}
