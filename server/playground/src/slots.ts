/** The places that an answer is written to, and what is written there. */

import { isolateHistory } from "@codemirror/commands";
import {
  Annotation,
  type ChangeDesc,
  type EditorState,
  type Extension,
  StateEffect,
  StateField,
  Transaction,
} from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import type { Token } from "./api";
import type { Span } from "./holes";
import { addTokens, clearTokens, type Placed } from "./tokens";

/** Marks what an answer writes; its number is the time at which the answer began. */
export const written = Annotation.define<number>();

interface Slot extends Span {
  /** Whether something of the answer is in it; the marker is, before. */
  readonly begun: boolean;
}

const setSlots = StateEffect.define<readonly Slot[] | null>();

const field = StateField.define<readonly Slot[] | null>({
  create: () => null,
  update(slots, transaction) {
    for (const effect of transaction.effects) if (effect.is(setSlots)) return effect.value;
    if (!slots || !transaction.docChanged) return slots;
    // Who edits an answer has chosen it.
    if (slots.some(({ from, to }) => transaction.changes.touchesRange(from, to))) return null;
    return slots.map((slot) => ({ ...slot, ...mapped(slot, transaction.changes, 1) }));
  },
});

export const slots: Extension = field;

export function hasSlots(state: EditorState): boolean {
  return state.field(field) !== null;
}

/** Makes the spans the slots of an answer that begins now; the colours of the one before go. */
export function openSlots(view: EditorView, spans: readonly Span[]): void {
  const fresh = spans.map(({ from, to }) => ({ from, to, begun: false }));
  view.dispatch({ effects: [setSlots.of(fresh), clearTokens.of(null)], annotations: isolateHistory.of("full") });
}

export function closeSlots(view: EditorView): void {
  view.dispatch({ effects: setSlots.of(null), annotations: isolateHistory.of("full") });
}

/** Writes a token at the end of a slot. */
export function writeToken(view: EditorView, hole: number, token: Token, began: number): void {
  const all = view.state.field(field);
  const slot = all?.[hole];
  if (!all || !slot) return;
  const insert = view.state.toText(token.text);
  const from = slot.begun ? slot.to : slot.from;
  const change = view.state.changes({ from, to: slot.to, insert });
  const to = from + insert.length;
  view.dispatch({
    changes: change,
    effects: [
      setSlots.of(all.map((other, at) => moved(other, at - hole, change, { from: slot.from, to, begun: true }))),
      addTokens.of([{ from, to, token }]),
      EditorView.scrollIntoView(to),
    ],
    annotations: annotations(began),
  });
}

/** Writes whole fills into the slots, in place of what is there. */
export function writeFills(view: EditorView, fills: readonly (readonly Token[])[], began: number): void {
  const all = view.state.field(field);
  if (!all) return;
  const changes: { from: number; to: number; insert: string }[] = [];
  const fresh: Slot[] = [];
  const placed: Placed[] = [];
  let shift = 0;
  all.forEach((slot, hole) => {
    const insert = (fills[hole] ?? []).map((token) => token.text).join("");
    let at = slot.from + shift;
    const start = at;
    for (const token of fills[hole] ?? []) {
      const length = view.state.toText(token.text).length;
      placed.push({ from: at, to: at + length, token });
      at += length;
    }
    fresh.push({ from: start, to: at, begun: true });
    changes.push({ from: slot.from, to: slot.to, insert });
    shift = at - slot.to;
  });
  view.dispatch({
    changes,
    effects: [setSlots.of(fresh), clearTokens.of(null), addTokens.of(placed)],
    annotations: annotations(began),
  });
}

/** The texts that are in the slots. */
export function slotTexts(state: EditorState): string[] {
  return (state.field(field) ?? []).map(({ from, to, begun }) => (begun ? state.sliceDoc(from, to) : ""));
}

/** Whether every slot has something of the answer. */
export function allBegun(state: EditorState): boolean {
  return (state.field(field) ?? []).every(({ begun }) => begun);
}

/** The history joins what comes at the same time, so that one Undo takes a whole answer back. */
function annotations(began: number) {
  return [written.of(began), Transaction.time.of(began)];
}

function moved(slot: Slot, side: number, changes: ChangeDesc, own: Slot): Slot {
  return side === 0 ? own : { ...slot, ...mapped(slot, changes, side) };
}

function mapped({ from, to }: Span, changes: ChangeDesc, side: number): Span {
  return { from: changes.mapPos(from, side), to: changes.mapPos(to, side) };
}
