/** One answer: from the question to the last token in the editor. */

import type { EditorView } from "@codemirror/view";
import { type Answer, type Ask, complete, type Piece, type Token } from "./api";
import type { Span } from "./holes";
import { allBegun, closeSlots, openSlots, slotTexts, writeFills, writeToken } from "./slots";

/** The tokens of each hole of each candidate. */
export type Candidate = readonly (readonly Token[])[];

export interface Outcome {
  readonly answer: Answer;
  readonly candidates: readonly Candidate[];
  readonly began: number;
}

/** Asks and writes the first candidate as it comes. What has come stays when it fails or is stopped. */
export async function run(
  view: EditorView,
  ask: Ask,
  spans: readonly Span[],
  token: string,
  signal: AbortSignal,
): Promise<Outcome> {
  const began = Date.now();
  const streamed: Token[][][] = [];
  openSlots(view, spans);
  const tell = (piece: Piece): void => {
    const holes = (streamed[piece.candidate] ??= spans.map(() => []));
    holes[piece.hole]?.push(piece);
    if (piece.candidate === 0) writeToken(view, piece.hole, piece, began);
  };
  try {
    const answer = await complete(ask, token, signal, tell);
    const candidates = answer.fills.map((fills, at) => fills.map((text, hole) => fitted(streamed[at]?.[hole], text)));
    settle(view, answer, candidates, began);
    return { answer, candidates, began };
  } catch (error) {
    closeSlots(view);
    throw error;
  }
}

/** The answer as a whole may be shorter than what was streamed, and a hole may stay empty. */
function settle(view: EditorView, answer: Answer, candidates: readonly Candidate[], began: number): void {
  const [fills = []] = answer.fills;
  const texts = slotTexts(view.state);
  const same = allBegun(view.state) && fills.every((fill, hole) => fill === texts[hole]);
  if (!same) writeFills(view, candidates[0] ?? [], began);
  if (candidates.length < 2) closeSlots(view);
}

/** The tokens that make up `text`; what they do not cover is a token of which nothing is known. */
function fitted(streamed: readonly Token[] = [], text: string): Token[] {
  const tokens: Token[] = [];
  let rest = text;
  for (const token of streamed) {
    const shared = commonStart(token.text, rest);
    if (shared) tokens.push({ ...token, text: shared });
    rest = rest.slice(shared.length);
    if (shared.length < token.text.length) break;
  }
  if (rest) tokens.push({ text: rest, probability: 1, alternatives: [] });
  return tokens;
}

function commonStart(one: string, other: string): string {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at += 1;
  return one.slice(0, at);
}
