/** The keys; they hold everywhere on the page, and before the editor's own. */

import type { EditorView } from "@codemirror/view";
import type { Actions } from "./actions";
import { hideTokenCard } from "./tokens";

export function bindKeys(view: EditorView, actions: Actions): void {
  const onKey = (event: KeyboardEvent): void => {
    if (event.isComposing || !handled(event, view, actions)) return;
    event.preventDefault();
    event.stopPropagation();
  };
  document.addEventListener("keydown", onKey, { capture: true });
}

function handled(event: KeyboardEvent, view: EditorView, actions: Actions): boolean {
  const command = (event.ctrlKey || event.metaKey) && !event.altKey;
  const alt = event.altKey && !event.ctrlKey && !event.metaKey;
  if (command && event.key === "Enter") return done(() => (event.shiftKey ? actions.extend() : actions.complete()));
  // Alt changes the letter on some keyboards; the key's place does not change.
  if ((command && event.key.toLowerCase() === "i" && !event.shiftKey) || (alt && event.code === "KeyI")) {
    return done(() => actions.insertHole());
  }
  if (alt && event.code === "BracketLeft") return actions.step(-1);
  if (alt && event.code === "BracketRight") return actions.step(1);
  return event.key === "Escape" && (actions.stop() || hideTokenCard(view));
}

function done(action: () => void): true {
  action();
  return true;
}
