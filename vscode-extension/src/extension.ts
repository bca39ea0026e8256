/** The extension's entry point. */

import * as vscode from "vscode";
import { Accepts } from "./accepts";
import { install } from "./install";
import { hints } from "./hints";
import { statusItems } from "./items";
import { chooseModel, menu, snooze, toggleLanguage } from "./menu";
import { problems } from "./problems";
import { messageOf, Server } from "./server";
import { ONLY_AT_START } from "./settings";
import { Token } from "./token";
import { Explanations, showStatistics } from "./views";

let server: Server | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("Lacuna", { log: true });
  const accepts = new Accepts();
  const running = (server = new Server(context, log, accepts.middleware));
  const explanations = new Explanations();
  const commands: Record<string, () => unknown> = {
    "lacuna.menu": () => menu(running),
    "lacuna.trigger": () => vscode.commands.executeCommand("editor.action.inlineSuggest.trigger"),
    "lacuna.acceptWord": () => accepts.acceptPart(running, "editor.action.inlineSuggest.acceptNextWord"),
    "lacuna.acceptLine": () => accepts.acceptPart(running, "editor.action.inlineSuggest.acceptNextLine"),
    "lacuna.why": () => explanations.show(running),
    "lacuna.showStatistics": () => showStatistics(running),
    "lacuna.chooseModel": () => chooseModel(running),
    "lacuna.snoozeFor": () => snooze(running),
    "lacuna.snooze5": () => running.execute("lacuna.snooze", { minutes: 5 }),
    "lacuna.snooze30": () => running.execute("lacuna.snooze", { minutes: 30 }),
    "lacuna.wake": () => running.execute("lacuna.snooze", { minutes: 0 }),
    "lacuna.toggleLanguage": toggleLanguage,
    "lacuna.restart": () => running.restart(),
    "lacuna.showLog": () => log.show(),
    "lacuna.openSettings": () => vscode.commands.executeCommand("workbench.action.openSettings", "@ext:lacuna.lacuna"),
    "lacuna.install": () => install(running),
    "lacuna.setToken": async () => {
      if (await Token.prompt(context)) await running.restart();
    },
  };
  for (const [name, run] of Object.entries(commands)) {
    context.subscriptions.push(vscode.commands.registerCommand(name, () => reportingErrors(run)));
  }
  context.subscriptions.push(
    log,
    running,
    explanations,
    statusItems(running),
    problems(running),
    hints(context.globalState),
    vscode.workspace.onDidGrantWorkspaceTrust(() => running.restart()),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (ONLY_AT_START.some((name) => change.affectsConfiguration(`lacuna.${name}`))) void running.restart();
    }),
  );
  void running.restart();
}

export function deactivate(): Promise<void> | undefined {
  return server?.stop();
}

/** Runs a command, and shows an error as one sentence. */
async function reportingErrors(run: () => unknown): Promise<unknown> {
  try {
    return await run();
  } catch (error) {
    void vscode.window.showErrorMessage(`Lacuna: ${messageOf(error)}`);
    return undefined;
  }
}
