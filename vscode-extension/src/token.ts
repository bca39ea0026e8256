/** The token of a remote engine, in the editor's secret storage and, while a server runs, in a file for this user only. */

import * as fs from "node:fs";
import * as vscode from "vscode";
import { isAlive, removeStale, tokenFile } from "./leftovers";

const KEY = "lacuna.engine.token";

export class Token {
  private file: string | undefined;

  constructor(private readonly context: vscode.ExtensionContext) {}

  /** Writes the token, if there is one, to a file and returns its path. Removes stale files of other editors. */
  async write(): Promise<string | undefined> {
    const folder = this.context.globalStorageUri.fsPath;
    removeStale(folder, isAlive);
    const token = await this.context.secrets.get(KEY);
    if (!token) return undefined;
    fs.mkdirSync(folder, { recursive: true });
    this.file = tokenFile(folder, process.pid);
    fs.rmSync(this.file, { force: true });
    fs.writeFileSync(this.file, token, { mode: 0o600, flag: "wx" });
    return this.file;
  }

  remove(): void {
    if (this.file !== undefined) fs.rmSync(this.file, { force: true });
    this.file = undefined;
  }

  /** Prompts for a token and stores it; an empty one deletes it. Returns whether the prompt was answered. */
  static async prompt(context: vscode.ExtensionContext): Promise<boolean> {
    const token = await vscode.window.showInputBox({
      title: vscode.l10n.t("Token of the remote engine"),
      prompt: vscode.l10n.t("It is stored in the editor's secret storage. Leave it empty to delete it."),
      password: true,
      ignoreFocusOut: true,
    });
    if (token === undefined) return false;
    await (token ? context.secrets.store(KEY, token.trim()) : context.secrets.delete(KEY));
    return true;
  }
}
