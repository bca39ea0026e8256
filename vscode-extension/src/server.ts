/** The language server in VS Code: finds it, starts it, and watches it. */

import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import * as vscode from "vscode";
import { LanguageClient, RevealOutputChannelOn, State } from "vscode-languageclient/node";
import type { Middleware, StaticFeature } from "vscode-languageclient/node";
import manifest from "../package.json";
import { discover } from "./discovery";
import type { Found } from "./discovery";
import { Lifecycle } from "./lifecycle";
import { isCurrent, update, wheelIn } from "./managed";
import { expand } from "./paths";
import { SelectedPython } from "./python";
import type { Python } from "./python";
import { environment, forServer } from "./settings";
import type { Values } from "./settings";
import type { EngineStatus, Situation } from "./status";
import { Token } from "./token";

export const LANGUAGES = manifest.activationEvents.map((event) => event.replace("onLanguage:", ""));
/** In files, untitled documents and cells of notebooks alike. */
export const SELECTOR: vscode.DocumentSelector = LANGUAGES.map((language) => ({ language }));

export class Server implements vscode.Disposable {
  situation: Situation = { kind: "stopped" };
  private readonly changed = new vscode.EventEmitter<Situation>();
  readonly onDidChange = this.changed.event;
  private client: LanguageClient | undefined;
  /** Whether a server was found and started. It may have stopped since. */
  started = false;
  private waiting = 0;
  private readonly token: Token;
  private readonly lifecycle = new Lifecycle({
    find: () => this.find(),
    start: (found) => this.start(found),
    halt: () => this.halt(),
    failed: (error) => this.enter({ kind: "broken", why: messageOf(error) }),
  });
  private readonly python = new SelectedPython(PYTHON, () => void this.lifecycle.restartIfOther());

  constructor(
    private readonly context: vscode.ExtensionContext,
    readonly log: vscode.LogOutputChannel,
    private readonly middleware: Middleware,
  ) {
    this.token = new Token(context);
  }

  /** The server's program; empty if it was not found. */
  get program(): string {
    return this.lifecycle.program;
  }

  /** The folder with the server's wheel in the extension. */
  get wheels(): string {
    return path.join(this.context.extensionPath, "wheels");
  }

  /** The folder of the extension's own environment. */
  get managed(): string {
    return path.join(this.context.globalStorageUri.fsPath, "environment");
  }

  /** Stops the running server and starts it again. Concurrent calls run one after the other. */
  restart(): Promise<void> {
    return this.lifecycle.restart();
  }

  /** Runs a command of the server. */
  async execute<T>(command: string, argument?: object): Promise<T> {
    if (!this.client?.isRunning()) throw new Error(vscode.l10n.t("The server is not running."));
    const params = { command, arguments: argument === undefined ? [] : [argument] };
    return this.client.sendRequest<T>("workspace/executeCommand", params);
  }

  /** Sets the engine's status without a notification from the server. */
  updateEngine(engine: EngineStatus): void {
    if (this.situation.kind === "running") this.enter({ kind: "running", engine, waiting: this.waiting });
  }

  stop(): Promise<void> {
    return this.lifecycle.stop();
  }

  dispose(): void {
    this.python.dispose();
    this.changed.dispose();
  }

  private enter(situation: Situation): void {
    this.situation = situation;
    void vscode.commands.executeCommand("setContext", "lacuna.running", situation.kind === "running");
    this.changed.fire(situation);
  }

  private async start(found: Found | undefined): Promise<void> {
    this.started = found !== undefined;
    if (found === undefined) {
      this.enter({ kind: "broken", why: missingServer() });
      return;
    }
    this.log.info(`Starting ${found.command} (${found.source}).`);
    this.enter({ kind: "starting" });
    if (found.source === "managed") await this.updateManaged();
    const tokenFile = await this.token.write();
    const client = this.createClient(found, environment(ownSettings(), tokenFile));
    this.client = client;
    await client.start();
  }

  /** Updates the extension's own environment to the extension's version. */
  private async updateManaged(): Promise<void> {
    const wheel = await wheelIn(this.wheels);
    if (wheel === undefined || (await isCurrent(this.managed, wheel))) return;
    this.log.info(`Updating ${this.managed} to ${path.basename(wheel)}.`);
    const windows = process.platform === "win32";
    await update({ folder: this.managed, wheel, windows }).catch((error: unknown) => {
      this.log.error(messageOf(error));
      void this.offerInstall();
    });
  }

  private async offerInstall(): Promise<void> {
    const why = vscode.l10n.t("The server could not be updated to the extension's version without network access.");
    const install = vscode.l10n.t("Install");
    if ((await vscode.window.showWarningMessage(`Lacuna: ${why}`, install)) === install) {
      await vscode.commands.executeCommand("lacuna.install");
    }
  }

  private async halt(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    this.waiting = 0;
    if (client !== undefined) await client.dispose(2000).catch(() => undefined); // it may never have started
    this.token.remove();
    this.enter({ kind: "stopped" });
  }

  private async find(): Promise<Found | undefined> {
    const setting = String(ownSettings().path ?? "");
    const locations = {
      setting: setting && (resolvePath(setting) ?? setting),
      python: await this.python.path(),
      searchPath: process.env.PATH ?? "",
      managed: this.managed,
      windows: process.platform === "win32",
    };
    return discover(locations, isExecutable);
  }

  private createClient(found: Found, variables: Record<string, string>): LanguageClient {
    const client = new LanguageClient(
      "lacuna",
      "Lacuna",
      { command: found.command, args: ["lsp"], options: { env: { ...process.env, ...variables }, cwd: folder() } },
      {
        documentSelector: [...LANGUAGES.map((language) => ({ language })), { notebook: "*", language: "*" }],
        outputChannel: this.log,
        revealOutputChannelOn: RevealOutputChannelOn.Never,
        initializationOptions: forServer(ownSettings()),
        middleware: { ...this.middleware, ...this.countingMiddleware(), workspace: { configuration } },
      },
    );
    client.registerFeature(CAPABILITIES);
    client.onNotification("lacuna/status", (engine: EngineStatus) => {
      if (this.client === client) this.enter({ kind: "running", engine, waiting: this.waiting });
    });
    client.onDidChangeState(({ newState }) => {
      if (this.client !== client) return;
      if (newState === State.Starting) this.enter({ kind: "starting" });
      if (newState === State.Stopped) this.enter({ kind: "broken", why: vscode.l10n.t("The server stopped.") });
    });
    return client;
  }

  /** Counts the requests that wait for an answer. */
  private countingMiddleware(): Middleware {
    const inner = this.middleware.provideInlineCompletionItems;
    return {
      provideInlineCompletionItems: async (document, position, context, token, next) => {
        this.addWaiting(1);
        try {
          return await (inner ? inner(document, position, context, token, next) : next(document, position, context, token));
        } finally {
          this.addWaiting(-1);
        }
      },
    };
  }

  private addWaiting(change: number): void {
    this.waiting = Math.max(0, this.waiting + change);
    if (this.situation.kind === "running") this.enter({ ...this.situation, waiting: this.waiting });
  }
}

const PYTHON = {
  extension: () => vscode.extensions.getExtension<Python>("ms-python.python"),
  onDidChangeExtensions: vscode.extensions.onDidChange,
  isTrusted: () => vscode.workspace.isTrusted,
};

const CAPABILITIES: StaticFeature = {
  fillClientCapabilities: (capabilities) => {
    // the server does not read lacuna.toml in untrusted folders
    const lacuna = { status: true, trustsFolders: vscode.workspace.isTrusted };
    capabilities.experimental = { ...(capabilities.experimental as object), lacuna };
  },
  initialize: () => undefined,
  getState: () => ({ kind: "static" }),
  clear: () => undefined,
};

/** The settings under `lacuna`. */
export function ownSettings(): Values {
  return vscode.workspace.getConfiguration().get<Values>("lacuna") ?? {};
}

/** The answer to `workspace/configuration`. The server requests the section `lacuna` only. */
async function configuration(): Promise<Values[]> {
  return [forServer(ownSettings())];
}

/** The server's working directory: the first workspace folder if it is trusted, else the home directory. */
function folder(): string {
  return trustedFolder() ?? os.homedir();
}

function trustedFolder(): string | undefined {
  const first = vscode.workspace.isTrusted ? vscode.workspace.workspaceFolders?.[0]?.uri : undefined;
  return first?.scheme === "file" ? first.fsPath : undefined;
}

/** A path from the settings as an absolute path; undefined if it has unknown variables. */
export function resolvePath(setting: string): string | undefined {
  return expand(setting, { home: os.homedir(), workspace: trustedFolder(), environment: process.env });
}

function missingServer(): string {
  const setting = String(ownSettings().path ?? "");
  return setting
    ? vscode.l10n.t("The setting lacuna.path names {0}, but there is no such program.", setting)
    : vscode.l10n.t("The Lacuna server was not found.");
}

function isExecutable(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
