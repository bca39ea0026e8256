/** Errors, each with a button that mends it. Each is shown once until all is well again. */

import * as vscode from "vscode";
import type { Server } from "./server";

export function problems(server: Server): vscode.Disposable {
  let told = "";
  return server.onDidChange((situation) => {
    const failed = situation.kind === "running" && situation.engine.phase === "failed";
    const why = situation.kind === "broken" ? situation.why : failed ? situation.engine.message : "";
    if (situation.kind === "running" && !failed) told = "";
    if (!why || why === told) return;
    told = why;
    void offer(why, situation.kind === "broken" ? broken(server) : failing());
  });
}

type Remedy = [title: string, command: string];

function broken(server: Server): Remedy[] {
  const { t } = vscode.l10n;
  const missing = !server.started;
  return missing
    ? [[t("Install"), "lacuna.install"], [t("Set its path"), "lacuna.openSettings"], [t("Log"), "lacuna.showLog"]]
    : [[t("Restart"), "lacuna.restart"], [t("Log"), "lacuna.showLog"]];
}

function failing(): Remedy[] {
  const { t } = vscode.l10n;
  return [[t("Choose model"), "lacuna.chooseModel"], [t("Settings"), "lacuna.openSettings"], [t("Log"), "lacuna.showLog"]];
}

async function offer(why: string, remedies: Remedy[]): Promise<void> {
  const picked = await vscode.window.showErrorMessage(`Lacuna: ${why}`, ...remedies.map(([title]) => title));
  const remedy = remedies.find(([title]) => title === picked);
  if (remedy !== undefined) await vscode.commands.executeCommand(remedy[1]);
}
