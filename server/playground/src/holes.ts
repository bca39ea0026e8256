/** The marker of a hole: where it is in a text, and how it looks in the editor. */

import { type EditorState, type Extension, RangeSet } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, MatchDecorator, ViewPlugin, type ViewUpdate } from "@codemirror/view";

export const MARKER = "<infill>";
/** The server takes one text more than this. */
export const MOST_HOLES = 16;

export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Where the markers are. */
export function holesIn(state: EditorState): Span[] {
  const text = state.doc.toString();
  const found: Span[] = [];
  for (let at = text.indexOf(MARKER); at >= 0; at = text.indexOf(MARKER, at + MARKER.length)) {
    found.push({ from: at, to: at + MARKER.length });
  }
  return found;
}

/** The texts around the markers. */
export function partsOf(text: string): string[] {
  return text.split(MARKER);
}

export function withoutMarkers(text: string): string {
  return text.replaceAll(MARKER, "");
}

/** Puts a marker in place of the selection. */
export function insertHole(view: EditorView): void {
  view.dispatch(view.state.replaceSelection(MARKER), { userEvent: "input.hole", scrollIntoView: true });
  view.focus();
}

const chips = new MatchDecorator({
  regexp: new RegExp(MARKER, "g"),
  decoration: Decoration.mark({ class: "hole", attributes: { title: "A hole: Infill writes here" } }),
});

class Chips {
  decorations: DecorationSet;

  constructor(view: EditorView) {
    this.decorations = chips.createDeco(view);
  }

  update(update: ViewUpdate): void {
    this.decorations = chips.updateDeco(update, this.decorations);
  }
}

const plugin = ViewPlugin.fromClass(Chips, {
  decorations: (value) => value.decorations,
  // The cursor steps over a marker, and one Backspace removes it.
  provide: (of) => EditorView.atomicRanges.of((view) => view.plugin(of)?.decorations ?? RangeSet.empty),
});

export const holes: Extension = plugin;
