/** Makes the extension's own environment, after asking. */

import * as vscode from "vscode";
import { make, wheelIn } from "./managed";
import { own, placeOf, told } from "./server";
import type { Server } from "./server";

/** Asks, makes it, and starts the server from it. */
export async function install(server: Server): Promise<void> {
  const { t } = vscode.l10n;
  const wheel = await wheelIn(server.wheels);
  if (wheel === undefined) {
    void vscode.window.showErrorMessage(t("This build of the extension brings no server. Install Lacuna with pip."));
    return;
  }
  const setting = String(own().bundle ?? "");
  const bundle = setting && (placeOf(setting) ?? setting);
  const question = bundle
    ? t("Lacuna makes an environment of its own from {0}, without any network.", bundle)
    : t("Lacuna makes an environment of its own. pip fetches PyTorch and others from your package index: several gigabytes.");
  const yes = t("Install");
  if ((await vscode.window.showInformationMessage(question, { modal: true }, yes)) !== yes) return;
  try {
    await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title: t("Installing the server of Lacuna") },
      (progress) =>
        make({ python: python(), folder: server.managed, wheel, bundle, windows: process.platform === "win32" }, (message) =>
          progress.report({ message }),
        ),
    );
  } catch (error) {
    server.log.error(told(error));
    const log = t("Log");
    const picked = await vscode.window.showErrorMessage(t("The server could not be installed."), log);
    if (picked === log) server.log.show();
    return;
  }
  await server.restart();
}

/** An interpreter that makes the environment; that it is too old, pip says. */
function python(): string {
  return process.platform === "win32" ? "py" : "python3";
}
