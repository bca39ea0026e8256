/** Pages in editor tabs: the explanation of the last answer, and the statistics. */

import * as vscode from "vscode";
import { page } from "./chart";
import type { Statistics } from "./chart";
import { explain } from "./explanation";
import type { Explanation } from "./explanation";
import type { Server } from "./server";

const SCHEME = "lacuna-explanation";

export class Explanations implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private text = "";
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly registered = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);

  provideTextDocumentContent(): string {
    return this.text;
  }

  async show(server: Server): Promise<void> {
    this.text = explain(await server.execute<Explanation | null>("lacuna.explain"), vscode.l10n.t);
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${vscode.l10n.t("Lacuna: the last answer")}.md` });
    this.changed.fire(uri);
    await vscode.commands.executeCommand("markdown.showPreview", uri);
  }

  dispose(): void {
    this.registered.dispose();
    this.changed.dispose();
  }
}

export async function showStatistics(server: Server): Promise<void> {
  const statistics = await server.execute<Statistics>("lacuna.statistics");
  const panel = vscode.window.createWebviewPanel(
    "lacuna.statistics",
    vscode.l10n.t("Lacuna: statistics"),
    vscode.ViewColumn.Active,
  );
  panel.webview.html = page(statistics, vscode.env.language, vscode.l10n.t);
}
