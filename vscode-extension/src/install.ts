/** Creates the extension's own environment, after asking the user. */

import * as vscode from "vscode";
import { create, wheelIn } from "./managed";
import { messageOf, ownSettings, resolvePath } from "./server";
import type { Server } from "./server";

/** Asks, creates the environment, and starts the server from it. */
export async function install(server: Server): Promise<void> {
  const { t } = vscode.l10n;
  const wheel = await wheelIn(server.wheels);
  if (wheel === undefined) {
    void vscode.window.showErrorMessage(t("This build of the extension does not include the server. Install Lacuna with pip."));
    return;
  }
  const setting = String(ownSettings().bundle ?? "");
  const bundle = setting && (resolvePath(setting) ?? setting);
  const question = bundle
    ? t("Lacuna will create its own environment from {0}, without network access.", bundle)
    : t("Lacuna will create its own environment. pip downloads PyTorch and other packages from your package index: several gigabytes.");
  const yes = t("Install");
  if ((await vscode.window.showInformationMessage(question, { modal: true }, yes)) !== yes) return;
  try {
    await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title: t("Installing the Lacuna server") },
      (progress) =>
        create({ python: python(), folder: server.managed, wheel, bundle, windows: process.platform === "win32" }, (message) =>
          progress.report({ message }),
        ),
    );
  } catch (error) {
    server.log.error(messageOf(error));
    const log = t("Log");
    const picked = await vscode.window.showErrorMessage(t("The server could not be installed."), log);
    if (picked === log) server.log.show();
    return;
  }
  await server.restart();
}

/** The interpreter that creates the environment. If it is too old, pip reports it. */
function python(): string {
  return process.platform === "win32" ? "py" : "python3";
}
