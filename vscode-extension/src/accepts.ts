/** Accepts a word or a line of a suggestion, and reports to the server how much was accepted. */

import * as vscode from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import { Offer } from "./accepting";
import type { Suggestion } from "./accepting";
import type { Server } from "./server";

interface LastOffer {
  uri: string;
  offset: number;
  offer: Offer;
}

export class Accepts {
  private last: LastOffer | undefined;

  /** Records suggestions and their positions, and that one was accepted. */
  readonly middleware: Middleware = {
    provideInlineCompletionItems: async (document, position, context, token, next) => {
      const answer = await next(document, position, context, token);
      const items = Array.isArray(answer) ? answer : (answer?.items ?? []);
      const suggestions = items.map(suggestionOf).filter((suggestion) => suggestion !== undefined);
      const offset = document.offsetAt(position);
      // the rest of a partly accepted suggestion keeps its id
      if (suggestions.length && !this.continues(document, offset)) {
        this.last = { uri: document.uri.toString(), offset, offer: new Offer(suggestions) };
      }
      return answer;
    },
    executeCommand: (command, args, next) => {
      if (command === "lacuna.accept") void vscode.commands.executeCommand("setContext", "lacuna.accepted", true);
      return next(command, args);
    },
  };

  /** Runs a built-in command that accepts a part, and reports the part to the server. */
  async acceptPart(server: Server, command: string): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    const before = editor?.document.offsetAt(editor.selection.active) ?? 0;
    await vscode.commands.executeCommand(command);
    if (editor === undefined || this.last === undefined) return;
    const after = editor.document.offsetAt(editor.selection.active);
    const { uri, offset, offer } = this.last;
    if (editor.document.uri.toString() !== uri || before !== offset || after <= before) return;
    const at = (position: number): vscode.Position => editor.document.positionAt(position);
    const accepted = offer.accept(editor.document.getText(new vscode.Range(at(before), at(after))));
    if (accepted === undefined) return;
    this.last.offset = after;
    void vscode.commands.executeCommand("setContext", "lacuna.accepted", true);
    await server.execute("lacuna.accept", accepted).catch(() => undefined); // the server may have stopped meanwhile
  }

  private continues(document: vscode.TextDocument, offset: number): boolean {
    return this.last?.uri === document.uri.toString() && this.last.offset === offset && this.last.offer.started;
  }
}

function suggestionOf(item: vscode.InlineCompletionItem): Suggestion | undefined {
  const argument = item.command?.arguments?.[0] as { id?: string } | undefined;
  const text = typeof item.insertText === "string" ? item.insertText : item.insertText.value;
  return argument?.id === undefined ? undefined : { id: argument.id, text };
}
