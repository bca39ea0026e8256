/** The status display: a language status item, and a status bar item that opens the menu. */

import * as vscode from "vscode";
import { SELECTOR } from "./server";
import type { Server } from "./server";
import { display } from "./status";

const SEVERITY = {
  info: vscode.LanguageStatusSeverity.Information,
  warning: vscode.LanguageStatusSeverity.Warning,
  error: vscode.LanguageStatusSeverity.Error,
};
const BACKGROUND = {
  info: undefined,
  warning: new vscode.ThemeColor("statusBarItem.warningBackground"),
  error: new vscode.ThemeColor("statusBarItem.errorBackground"),
};

export function statusItems(server: Server): vscode.Disposable {
  const language = vscode.languages.createLanguageStatusItem("lacuna", SELECTOR);
  const bar = vscode.window.createStatusBarItem("lacuna", vscode.StatusBarAlignment.Right, 100);
  bar.name = language.name = "Lacuna";
  bar.command = "lacuna.menu";
  language.command = { command: "lacuna.menu", title: vscode.l10n.t("Menu") };

  let countdown: NodeJS.Timeout | undefined;
  const show = (): void => {
    const situation = server.situation;
    const { icon, text, detail, severity, busy } = display(situation, vscode.l10n.t);
    language.text = `Lacuna: ${text}`;
    language.detail = detail;
    language.severity = SEVERITY[severity];
    language.busy = busy;
    bar.text = `$(${icon}) Lacuna`;
    bar.tooltip = detail ? `Lacuna: ${text} (${detail})` : `Lacuna: ${text}`;
    bar.accessibilityInformation = { label: bar.tooltip };
    bar.backgroundColor = BACKGROUND[severity];
    bar.show();
    clearTimeout(countdown);
    if (situation.kind === "running" && situation.engine.snoozed_s > 0) {
      const engine = { ...situation.engine, snoozed_s: Math.max(0, situation.engine.snoozed_s - 60) };
      const next = Math.min(60, situation.engine.snoozed_s);
      countdown = setTimeout(() => server.updateEngine(engine), 1000 * next);
    }
  };
  show();
  return vscode.Disposable.from(language, bar, server.onDidChange(show), { dispose: () => clearTimeout(countdown) });
}
