/** The interpreter selected in the Python extension, if that is installed. */

import * as vscode from "vscode";

interface Environments {
  getActiveEnvironmentPath(): { path: string };
  onDidChangeActiveEnvironmentPath?: vscode.Event<unknown>;
}

export class SelectedPython implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  /** Fires when another interpreter is selected, or extensions are added or removed. */
  readonly onDidChange = this.changed.event;
  private readonly extensions = vscode.extensions.onDidChange(() => this.changed.fire());
  private listening: vscode.Disposable | undefined;

  /** Its path. Undefined without the Python extension, and in an untrusted folder, which may have made the selection. */
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
