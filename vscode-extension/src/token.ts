/** The token of a remote engine: in the store of secrets, and in a file that only this user can read while a server runs. */

import * as fs from "node:fs";
import * as vscode from "vscode";
import { lives, removeStale, tokenFile } from "./leftovers";

const KEY = "lacuna.engine.token";

export class Token {
  private file: string | undefined;

  constructor(private readonly context: vscode.ExtensionContext) {}

  /** Writes the token, if there is one; the file. Files that other editors left behind are removed. */
  async write(): Promise<string | undefined> {
    const folder = this.context.globalStorageUri.fsPath;
    removeStale(folder, lives);
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

  /** Asks for a token and keeps it; an empty one is forgotten. Whether one was given. */
  static async ask(context: vscode.ExtensionContext): Promise<boolean> {
    const token = await vscode.window.showInputBox({
      title: vscode.l10n.t("Token of the remote engine"),
      prompt: vscode.l10n.t("It is kept in the editor's store of secrets. Empty: forget it."),
      password: true,
      ignoreFocusOut: true,
    });
    if (token === undefined) return false;
    await (token ? context.secrets.store(KEY, token.trim()) : context.secrets.delete(KEY));
    return true;
  }
}
