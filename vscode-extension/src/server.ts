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
import { isCurrent, update, wheelIn } from "./managed";
import { expanded } from "./places";
import { ChosenPython } from "./python";
import { Serial } from "./serial";
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
  private readonly changing = new Serial();
  private command = "";
  /** Whether a server was found and started, be it that it ended since. */
  started = false;
  private waiting = 0;
  private readonly token: Token;
  private readonly python = new ChosenPython();

  constructor(
    private readonly context: vscode.ExtensionContext,
    readonly log: vscode.LogOutputChannel,
    private readonly middleware: Middleware,
  ) {
    this.token = new Token(context);
    this.python.onDidChange(() => void this.restartWhereOther());
  }

  /** The folder with the wheel of the server that the extension brings. */
  get wheels(): string {
    return path.join(this.context.extensionPath, "wheels");
  }

  /** The folder of the extension's own environment. */
  get managed(): string {
    return path.join(this.context.globalStorageUri.fsPath, "environment");
  }

  /** Starts the server, after the one that runs was stopped. Calls that come meanwhile wait for each other. */
  restart(): Promise<void> {
    return this.changing.run(async () => {
      await this.halt();
      await this.begin().catch((error: unknown) => this.enter({ kind: "broken", why: told(error) }));
    });
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

  stop(): Promise<void> {
    return this.changing.run(() => this.halt());
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

  /** Restarts where another interpreter brings another server. */
  private async restartWhereOther(): Promise<void> {
    const found = await this.find();
    if ((found?.command ?? "") !== this.command) await this.restart();
  }

  private async begin(): Promise<void> {
    const found = await this.find();
    this.started = found !== undefined;
    this.command = found?.command ?? "";
    if (found === undefined) {
      this.enter({ kind: "broken", why: missing() });
      return;
    }
    this.log.info(`Starting ${found.command} (${found.source}).`);
    this.enter({ kind: "starting" });
    if (found.source === "managed") await this.follow();
    const tokenFile = await this.token.write();
    const client = this.made(found, environment(own(), tokenFile));
    this.client = client;
    await client.start();
  }

  /** Brings the extension's own environment to the extension's version. */
  private async follow(): Promise<void> {
    const wheel = await wheelIn(this.wheels);
    if (wheel === undefined || (await isCurrent(this.managed, wheel))) return;
    this.log.info(`Updating ${this.managed} to ${path.basename(wheel)}.`);
    const windows = process.platform === "win32";
    await update({ folder: this.managed, wheel, windows }).catch((error: unknown) => {
      this.log.error(told(error));
      void this.offerInstall();
    });
  }

  private async offerInstall(): Promise<void> {
    const why = vscode.l10n.t("The server could not be brought to the version of the extension without a network.");
    const install = vscode.l10n.t("Install");
    if ((await vscode.window.showWarningMessage(`Lacuna: ${why}`, install)) === install) {
      await vscode.commands.executeCommand("lacuna.install");
    }
  }

  private async halt(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    this.waiting = 0;
    this.command = "";
    if (client !== undefined) await client.dispose(2000).catch(() => undefined); // it may never have started
    this.token.remove();
    this.enter({ kind: "stopped" });
  }

  private async find(): Promise<Found | undefined> {
    const setting = String(own().path ?? "");
    const places = {
      setting: setting && (placeOf(setting) ?? setting),
      python: await this.python.path(),
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
    // a folder's lacuna.toml is not read where the folder is not trusted
    const lacuna = { status: true, trustsFolders: vscode.workspace.isTrusted };
    capabilities.experimental = { ...(capabilities.experimental as object), lacuna };
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

/** Where the server starts: the first folder; never one that is not trusted. */
function folder(): string {
  return trustedFolder() ?? os.homedir();
}

function trustedFolder(): string | undefined {
  const first = vscode.workspace.isTrusted ? vscode.workspace.workspaceFolders?.[0]?.uri : undefined;
  return first?.scheme === "file" ? first.fsPath : undefined;
}

/** A path from the settings as an absolute one; undefined where it has something that is not known here. */
export function placeOf(setting: string): string | undefined {
  return expanded(setting, { home: os.homedir(), workspace: trustedFolder(), variables: process.env });
}

function missing(): string {
  const setting = String(own().path ?? "");
  return setting
    ? vscode.l10n.t("The setting lacuna.path names {0}, and there is no such program.", setting)
    : vscode.l10n.t("The server of Lacuna was not found.");
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
