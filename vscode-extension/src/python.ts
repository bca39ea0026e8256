/** The interpreter that is chosen in the Python extension, if that is there. */

import * as vscode from "vscode";

interface Environments {
  getActiveEnvironmentPath(): { path: string };
  onDidChangeActiveEnvironmentPath?: vscode.Event<unknown>;
}

export class ChosenPython implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  /** Another interpreter was chosen, or the Python extension came or went. */
  readonly onDidChange = this.changed.event;
  private readonly extensions = vscode.extensions.onDidChange(() => this.changed.fire());
  private listening: vscode.Disposable | undefined;

  /** Its path; undefined without the Python extension, and in a folder that is not trusted: the choice may be its own. */
  async path(): Promise<string | undefined> {
    const python = vscode.extensions.getExtension<{ environments?: Environments }>("ms-python.python");
    if (python === undefined || !vscode.workspace.isTrusted) return undefined;
    try {
      const { environments } = await python.activate();
      this.listening ??= environments?.onDidChangeActiveEnvironmentPath?.(() => this.changed.fire());
      return environments?.getActiveEnvironmentPath().path;
    } catch {
      return undefined;
    }
  }

  dispose(): void {
    this.listening?.dispose();
    this.extensions.dispose();
    this.changed.dispose();
  }
}
