/** The language server: found, started, watched, restarted; one at a time. */

import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import * as vscode from "vscode";
import { LanguageClient, RevealOutputChannelOn, State } from "vscode-languageclient/node";
import type { Middleware, StaticFeature } from "vscode-languageclient/node";
import manifest from "../package.json";
import { discover } from "./discovery";
import type { Found } from "./discovery";
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
  private changing: Promise<void> = Promise.resolve();
  /** Whether a server was found and started, be it that it ended since. */
  started = false;
  private waiting = 0;
  private readonly token: Token;

  constructor(
    private readonly context: vscode.ExtensionContext,
    readonly log: vscode.LogOutputChannel,
    private readonly middleware: Middleware,
  ) {
    this.token = new Token(context);
  }

  /** The folder of the extension's own environment. */
  get managed(): string {
    return path.join(this.context.globalStorageUri.fsPath, "environment");
  }

  /** Starts the server, after the one that runs was stopped. Calls that come meanwhile wait for each other. */
  restart(): Promise<void> {
    this.changing = this.changing.then(async () => {
      await this.halt();
      await this.begin();
    });
    return this.changing;
  }

  /** Runs a command of the server. */
  async ask<T>(command: string, argument?: object): Promise<T> {
    if (!this.client?.isRunning()) throw new Error(vscode.l10n.t("The server does not run."));
    const sent = { command, arguments: argument === undefined ? [] : [argument] };
    return this.client.sendRequest<T>("workspace/executeCommand", sent);
  }

  /** What the engine is now, as far as it is known without being told. */
  note(engine: EngineStatus): void {
    if (this.situation.kind === "running") this.enter({ kind: "running", engine, waiting: this.waiting });
  }

  async stop(): Promise<void> {
    this.changing = this.changing.then(() => this.halt());
    await this.changing;
  }

  dispose(): void {
    this.changed.dispose();
  }

  private enter(situation: Situation): void {
    this.situation = situation;
    void vscode.commands.executeCommand("setContext", "lacuna.running", situation.kind === "running");
    this.changed.fire(situation);
  }

  private async begin(): Promise<void> {
    const found = await this.find();
    this.started = found !== undefined;
    if (found === undefined) {
      this.enter({ kind: "broken", why: vscode.l10n.t("The server of Lacuna was not found.") });
      return;
    }
    this.log.info(`Starting ${found.command} (${found.source}).`);
    this.enter({ kind: "starting" });
    const section = own();
    const tokenFile = await this.token.write();
    const client = this.made(found, environment(section, tokenFile));
    this.client = client;
    try {
      await client.start();
    } catch (error) {
      if (this.client === client) this.enter({ kind: "broken", why: told(error) });
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
    const places = {
      setting: String(own().path ?? ""),
      python: await chosenPython(),
      searched: process.env.PATH ?? "",
      managed: this.managed,
      windows: process.platform === "win32",
    };
    return discover(places, runs);
  }

  private made(found: Found, variables: Record<string, string>): LanguageClient {
    const client = new LanguageClient(
      "lacuna",
      "Lacuna",
      { command: found.command, args: ["lsp"], options: { env: { ...process.env, ...variables }, cwd: folder() } },
      {
        documentSelector: [...LANGUAGES.map((language) => ({ language })), { notebook: "*", language: "*" }],
        outputChannel: this.log,
        revealOutputChannelOn: RevealOutputChannelOn.Never,
        initializationOptions: forServer(own()),
        middleware: { ...this.middleware, ...this.counting(), workspace: { configuration: translated } },
      },
    );
    client.registerFeature(TELLS_STATUS);
    client.onNotification("lacuna/status", (engine: EngineStatus) => {
      if (this.client === client) this.enter({ kind: "running", engine, waiting: this.waiting });
    });
    client.onDidChangeState(({ newState }) => {
      if (this.client !== client) return;
      if (newState === State.Starting) this.enter({ kind: "starting" });
      if (newState === State.Stopped) this.enter({ kind: "broken", why: vscode.l10n.t("The server ended.") });
    });
    return client;
  }

  /** Counts the requests that wait for an answer. */
  private counting(): Middleware {
    const inner = this.middleware.provideInlineCompletionItems;
    return {
      provideInlineCompletionItems: async (document, position, context, token, next) => {
        this.busy(1);
        try {
          return await (inner ? inner(document, position, context, token, next) : next(document, position, context, token));
        } finally {
          this.busy(-1);
        }
      },
    };
  }

  private busy(more: number): void {
    this.waiting = Math.max(0, this.waiting + more);
    if (this.situation.kind === "running") this.enter({ ...this.situation, waiting: this.waiting });
  }
}

const TELLS_STATUS: StaticFeature = {
  fillClientCapabilities: (capabilities) => {
    capabilities.experimental = { ...(capabilities.experimental as object), lacuna: { status: true } };
  },
  initialize: () => undefined,
  getState: () => ({ kind: "static" }),
  clear: () => undefined,
};

/** The settings under `lacuna`. */
export function own(): Values {
  return vscode.workspace.getConfiguration().get<Values>("lacuna") ?? {};
}

/** What the server asks for is the section `lacuna`. */
async function translated(): Promise<Values[]> {
  return [forServer(own())];
}

/** Where the server's own `lacuna.toml` is read: the first folder; never one that is not trusted. */
function folder(): string {
  const first = vscode.workspace.isTrusted ? vscode.workspace.workspaceFolders?.[0]?.uri : undefined;
  return first?.scheme === "file" ? first.fsPath : os.homedir();
}

async function chosenPython(): Promise<string | undefined> {
  const python = vscode.extensions.getExtension("ms-python.python");
  if (python === undefined || !vscode.workspace.isTrusted) return undefined; // the choice may be the folder's
  try {
    const api = (await python.activate()) as { environments?: { getActiveEnvironmentPath(): { path: string } } };
    return api.environments?.getActiveEnvironmentPath().path;
  } catch {
    return undefined;
  }
}

function runs(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

export function told(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
