/** The interpreter selected in the Python extension, if that is installed. Independent of VS Code. */

interface Disposable {
  dispose(): unknown;
}

type Event = (listener: () => void) => Disposable;

interface Environments {
  getActiveEnvironmentPath(): { path: string };
  onDidChangeActiveEnvironmentPath?: Event;
}

/** What the Python extension exports. */
export interface Python {
  environments?: Environments;
}

export interface Editor {
  /** The Python extension; undefined if it is not installed. */
  extension(): { activate(): PromiseLike<Python> } | undefined;
  /** Fires when extensions are added or removed. */
  onDidChangeExtensions: Event;
  isTrusted(): boolean;
}

export class SelectedPython {
  private readonly extensions: Disposable;
  private listening: Disposable | undefined;

  /** Calls `changed` when another interpreter is selected, or extensions are added or removed. */
  constructor(
    private readonly editor: Editor,
    private readonly changed: () => void,
  ) {
    this.extensions = editor.onDidChangeExtensions(changed);
  }

  /** Its path. Undefined without the Python extension, and in an untrusted folder, which may have made the selection. */
  async path(): Promise<string | undefined> {
    const python = this.editor.extension();
    if (python === undefined || !this.editor.isTrusted()) return undefined;
    try {
      const { environments } = await python.activate();
      this.listening ??= environments?.onDidChangeActiveEnvironmentPath?.(this.changed);
      return environments?.getActiveEnvironmentPath().path;
    } catch {
      return undefined;
    }
  }

  dispose(): void {
    this.listening?.dispose();
    this.extensions.dispose();
  }
}
