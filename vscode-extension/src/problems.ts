/** Errors, each with a button that mends it. Each is shown once until all is well again. */

import * as vscode from "vscode";
import type { Server } from "./server";

/** A server that ends is started again by its client; only one that stays away is a problem. */
const ENDED_MS = 3000;

export function problems(server: Server): vscode.Disposable {
  let told = "";
  let later: NodeJS.Timeout | undefined;
  const watching = server.onDidChange((situation) => {
    clearTimeout(later);
    const failed = situation.kind === "running" && situation.engine.phase === "failed";
    const why = situation.kind === "broken" ? situation.why : failed ? situation.engine.message : "";
    if (situation.kind === "running" && !failed) told = "";
    if (!why || why === told) return;
    const remedies = situation.kind === "broken" ? broken(server) : failing();
    later = setTimeout(
      () => {
        told = why;
        void offer(why, remedies);
      },
      situation.kind === "broken" && server.started ? ENDED_MS : 0,
    );
  });
  return vscode.Disposable.from(watching, { dispose: () => clearTimeout(later) });
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
