/** The editor: CodeMirror with syntax colours, holes, tokens and slots. */

import { history, isolateHistory } from "@codemirror/commands";
import { javascriptLanguage } from "@codemirror/lang-javascript";
import { pythonLanguage } from "@codemirror/lang-python";
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, Transaction } from "@codemirror/state";
import { EditorView, lineNumbers, type ViewUpdate } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { minimalSetup } from "codemirror";
import { holes } from "./holes";
import { slots, written } from "./slots";
import { tokens } from "./tokens";

export type Language = "python" | "javascript";

const LANGUAGES = { python: pythonLanguage, javascript: javascriptLanguage };
const language = new Compartment();
const writable = new Compartment();

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: [tags.comment, tags.docString], color: "var(--code-comment)" },
  { tag: tags.function(tags.variableName), color: "var(--code-function)" },
  { tag: tags.function(tags.definition(tags.variableName)), color: "var(--code-function)" },
  { tag: [tags.className, tags.definition(tags.className), tags.typeName], color: "var(--code-type)" },
  { tag: tags.meta, color: "var(--code-type)" },
]);

export function createEditor(parent: HTMLElement, changed: (update: ViewUpdate) => void): EditorView {
  return new EditorView({
    parent,
    extensions: [
      minimalSetup,
      history({ joinToEvent: (transaction, near) => near || transaction.annotation(written) !== undefined }),
      lineNumbers(),
      bracketMatching(),
      indentOnInput(),
      indentUnit.of("    "),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ "aria-label": "Code", "aria-describedby": "status" }),
      language.of(LANGUAGES.python),
      writable.of([]),
      syntaxHighlighting(colours),
      holes,
      slots,
      tokens,
      EditorView.updateListener.of(changed),
    ],
  });
}

export function textOf(view: EditorView): string {
  return view.state.doc.toString();
}

/** Replaces the whole text; Undo brings the one before back, if there was one. */
export function replaceText(view: EditorView, text: string): void {
  view.dispatch({
    changes: { from: 0, to: view.state.doc.length, insert: text },
    selection: { anchor: 0 },
    annotations: [isolateHistory.of("full"), Transaction.addToHistory.of(view.state.doc.length > 0)],
    scrollIntoView: true,
  });
}

export function setLanguage(view: EditorView, name: Language): void {
  view.dispatch({ effects: language.reconfigure(LANGUAGES[name]) });
}

export function setWritable(view: EditorView, may: boolean): void {
  view.dispatch({ effects: writable.reconfigure(EditorState.readOnly.of(!may)) });
}
