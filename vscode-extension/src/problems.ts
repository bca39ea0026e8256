/** Error messages with buttons for their remedies. Each is shown once until the server runs again. */

import * as vscode from "vscode";
import type { Server } from "./server";

/** The client restarts a server that stops. Only a server that stays stopped this long is a problem. */
const RESTART_MS = 3000;

export function problems(server: Server): vscode.Disposable {
  let reported = "";
  let timer: NodeJS.Timeout | undefined;
  const watching = server.onDidChange((situation) => {
    clearTimeout(timer);
    const failed = situation.kind === "running" && situation.engine.phase === "failed";
    const why = situation.kind === "broken" ? situation.why : failed ? situation.engine.message : "";
    if (situation.kind === "running" && !failed) reported = "";
    if (!why || why === reported) return;
    const remedies = situation.kind === "broken" ? serverRemedies(server) : modelRemedies();
    timer = setTimeout(
      () => {
        reported = why;
        void showError(why, remedies);
      },
      situation.kind === "broken" && server.started ? RESTART_MS : 0,
    );
  });
  return vscode.Disposable.from(watching, { dispose: () => clearTimeout(timer) });
}

type Remedy = [title: string, command: string];

function serverRemedies(server: Server): Remedy[] {
  const { t } = vscode.l10n;
  const missing = !server.started;
  return missing
    ? [[t("Install"), "lacuna.install"], [t("Set the path"), "lacuna.openSettings"], [t("Log"), "lacuna.showLog"]]
    : [[t("Restart"), "lacuna.restart"], [t("Log"), "lacuna.showLog"]];
}

function modelRemedies(): Remedy[] {
  const { t } = vscode.l10n;
  return [[t("Choose model"), "lacuna.chooseModel"], [t("Settings"), "lacuna.openSettings"], [t("Log"), "lacuna.showLog"]];
}

async function showError(why: string, remedies: Remedy[]): Promise<void> {
  const picked = await vscode.window.showErrorMessage(`Lacuna: ${why}`, ...remedies.map(([title]) => title));
  const remedy = remedies.find(([title]) => title === picked);
  if (remedy !== undefined) await vscode.commands.executeCommand(remedy[1]);
}
