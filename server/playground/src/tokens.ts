/** Tokens in the editor: coloured by probability, with their alternatives in a tooltip. */

import { type ChangeDesc, type EditorState, type Extension, StateEffect, StateField, type Transaction } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, hoverTooltip, showTooltip, type Tooltip } from "@codemirror/view";
import type { Token } from "./api";
import type { Span } from "./holes";
import { tokenCard } from "./token_card";

export interface Placed extends Span {
  readonly token: Token;
}

export const addTokens = StateEffect.define<readonly Placed[]>({
  map: (placed, changes) =>
    placed.map(({ from, to, token }) => ({ from: changes.mapPos(from), to: changes.mapPos(to), token })),
});
export const clearTokens = StateEffect.define<null>();
const hideCard = StateEffect.define<null>();

/** How many colours there are; 0 is the least sure. */
export const SHADES = 5;
let number = 0;

function shadeOf(probability: number): number {
  return Math.max(0, Math.min(SHADES - 1, Math.floor(probability * SHADES)));
}

/** What somebody edits is no token of the model any more. */
function untouched(set: DecorationSet, changes: ChangeDesc): DecorationSet {
  let next = set;
  changes.iterChangedRanges((filterFrom, filterTo) => {
    next = next.update({ filterFrom, filterTo, filter: (from, to) => to <= filterFrom || from >= filterTo });
  });
  return next;
}

function decoration(token: Token): Decoration {
  return Decoration.mark({
    class: token.alternatives.length ? `tok p${shadeOf(token.probability)}` : "tok",
    // Equal neighbours would become one element.
    attributes: { "data-token": String(number++) },
    token,
  });
}

const shown = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(set, transaction) {
    let next = untouched(set, transaction.changes).map(transaction.changes);
    for (const effect of transaction.effects) {
      if (effect.is(clearTokens)) next = Decoration.none;
      if (effect.is(addTokens)) {
        const add = effect.value.filter(({ from, to }) => from < to);
        next = next.update({ add: add.map(({ from, to, token }) => decoration(token).range(from, to)), sort: true });
      }
    }
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** The token at a position; of two neighbours the one behind it, unless `side` is negative. */
function tokenAt(state: EditorState, at: number, side: number): Placed | null {
  let found: Placed | null = null;
  state.field(shown).between(at, at, (from, to, { spec }) => {
    const ahead = to > at;
    if (found && ahead !== side >= 0) return;
    found = { from, to, token: spec.token as Token };
  });
  return found;
}

function card({ from, to, token }: Placed): Tooltip {
  return { pos: from, end: to, above: true, create: () => ({ dom: tokenCard(token) }) };
}

/** The card of the token that the cursor was moved to, by keyboard or pointer. */
const atCursor = StateField.define<Tooltip | null>({
  create: () => null,
  update(tooltip, transaction) {
    if (transaction.effects.some((effect) => effect.is(hideCard))) return null;
    if (movesCursor(transaction)) {
      const { main } = transaction.state.selection;
      const token = main.empty ? tokenAt(transaction.state, main.head, main.assoc) : null;
      return token && card(token);
    }
    return transaction.docChanged || transaction.effects.length ? null : tooltip;
  },
  provide: (field) => showTooltip.from(field),
});

function movesCursor(transaction: Transaction): boolean {
  return transaction.selection !== undefined && transaction.isUserEvent("select");
}

/** Hides the cursor's card; false when there was none. */
export function hideTokenCard(view: EditorView): boolean {
  if (!view.state.field(atCursor)) return false;
  view.dispatch({ effects: hideCard.of(null) });
  return true;
}

const atPointer = hoverTooltip(
  ({ state }, at, side) => {
    const token = tokenAt(state, at, side);
    return token && token.from !== state.field(atCursor)?.pos ? card(token) : null;
  },
  { hoverTime: 120, hideOnChange: true },
);

export const tokens: Extension = [
  shown,
  atCursor,
  atPointer,
  EditorView.domEventHandlers({ blur: (_, view) => void setTimeout(() => hideTokenCard(view)) }),
];
