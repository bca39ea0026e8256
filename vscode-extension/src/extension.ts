/** Starts `lacuna lsp` and lets the language client show its inline completions. */

import * as vscode from "vscode";
import { LanguageClient, RevealOutputChannelOn } from "vscode-languageclient/node";

let client: LanguageClient | undefined;

export async function activate(): Promise<void> {
  const command = vscode.workspace.getConfiguration("lacuna").get("path", "lacuna");
  client = new LanguageClient(
    "lacuna",
    "Lacuna",
    // The workspace must not shadow modules of the server.
    { command, args: ["lsp"], options: { env: { ...process.env, PYTHONSAFEPATH: "1" } } },
    {
      documentSelector: [{ language: "python" }],
      outputChannel: vscode.window.createOutputChannel("Lacuna", { log: true }),
      revealOutputChannelOn: RevealOutputChannelOn.Never,
    },
  );
  await client.start();
}

export function deactivate(): Promise<void> | undefined {
  return client?.stop();
}
