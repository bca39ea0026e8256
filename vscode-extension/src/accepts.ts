/** Accepting a word or a line of a suggestion, and telling the server how much was taken. */

import * as vscode from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import { Offer } from "./accepting";
import type { Suggestion } from "./accepting";
import type { Server } from "./server";

interface Place {
  uri: string;
  offset: number;
  offer: Offer;
}

export class Accepts {
  private last: Place | undefined;

  /** Notes what was suggested where, and that something was accepted. */
  readonly middleware: Middleware = {
    provideInlineCompletionItems: async (document, position, context, token, next) => {
      const answer = await next(document, position, context, token);
      const items = Array.isArray(answer) ? answer : (answer?.items ?? []);
      const suggestions = items.map(suggestion).filter((found) => found !== undefined);
      const offset = document.offsetAt(position);
      // what is left of a suggestion that is being taken keeps its name
      if (suggestions.length && !this.goesOn(document, offset)) {
        this.last = { uri: document.uri.toString(), offset, offer: new Offer(suggestions) };
      }
      return answer;
    },
    executeCommand: (command, args, next) => {
      if (command === "lacuna.accept") void vscode.commands.executeCommand("setContext", "lacuna.accepted", true);
      return next(command, args);
    },
  };

  /** Runs an editor's own command that takes a part, and tells the server of the part. */
  async part(server: Server, command: string): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    const before = editor?.document.offsetAt(editor.selection.active) ?? 0;
    await vscode.commands.executeCommand(command);
    if (editor === undefined || this.last === undefined) return;
    const after = editor.document.offsetAt(editor.selection.active);
    const { uri, offset, offer } = this.last;
    if (editor.document.uri.toString() !== uri || before !== offset || after <= before) return;
    const at = (place: number): vscode.Position => editor.document.positionAt(place);
    const taken = offer.take(editor.document.getText(new vscode.Range(at(before), at(after))));
    if (taken === undefined) return;
    this.last.offset = after;
    void vscode.commands.executeCommand("setContext", "lacuna.accepted", true);
    await server.ask("lacuna.accept", taken).catch(() => undefined); // it may have ended meanwhile
  }

  private goesOn(document: vscode.TextDocument, offset: number): boolean {
    return this.last?.uri === document.uri.toString() && this.last.offset === offset && this.last.offer.begun;
  }
}

function suggestion(item: vscode.InlineCompletionItem): Suggestion | undefined {
  const argument = item.command?.arguments?.[0] as { id?: string } | undefined;
  const text = typeof item.insertText === "string" ? item.insertText : item.insertText.value;
  return argument?.id === undefined ? undefined : { id: argument.id, text };
}
