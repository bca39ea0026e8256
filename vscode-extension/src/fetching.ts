/** Fetches a published model, after asking the user, in a terminal that shows how far it is. */

import * as vscode from "vscode";
import { gib } from "./catalogue";
import type { Published } from "./catalogue";

/** The name of the model once it is on this machine; nothing if the user declined or it failed. */
export async function fetchModel(program: string, model: Published): Promise<string | undefined> {
  const { t } = vscode.l10n;
  const question = t("Fetch {0}? {1} are downloaded from the hub.", model.title, gib(model.bytes));
  const detail = model.conditions ? t("Its licence limits uses: {0}.", model.licence) : t("Licence: {0}.", model.licence);
  const yes = t("Fetch");
  if ((await vscode.window.showInformationMessage(question, { modal: true, detail }, yes)) !== yes) return undefined;
  const shellArgs = ["models", "fetch", model.name];
  const terminal = vscode.window.createTerminal({ name: `Lacuna: ${model.title}`, shellPath: program, shellArgs });
  terminal.show(true);
  const code = await new Promise<number | undefined>((resolve) => {
    const closing = vscode.window.onDidCloseTerminal((closed) => {
      if (closed !== terminal) return;
      closing.dispose();
      resolve(closed.exitStatus?.code);
    });
  });
  if (code === 0) return model.name;
  void vscode.window.showErrorMessage(t("{0} could not be fetched.", model.title));
  return undefined;
}
