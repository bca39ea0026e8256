/** Says that a larger model can be chosen: see hint.ts for when. */

import * as vscode from "vscode";
import { occasion } from "./hint";
import type { Memory, Occasion } from "./hint";
import { LANGUAGES } from "./server";

const KEY = "lacuna.hints";

/** Looks for an occasion now, and whenever another document is in front. */
export function hints(state: vscode.Memento): vscode.Disposable {
  const memory = (): Memory => state.get<Memory>(KEY) ?? {};
  if (memory().first === undefined) void state.update(KEY, { ...memory(), first: Date.now() });
  const look = async (editor: vscode.TextEditor | undefined): Promise<void> => {
    const configuration = vscode.workspace.getConfiguration("lacuna");
    const language = editor?.document.uri.scheme === "output" ? undefined : editor?.document.languageId;
    const model = configuration.get<string>("model") ?? "";
    const use = { model, remote: Boolean(configuration.get("engine.url")), language, now: Date.now() };
    const found = occasion(memory(), use, LANGUAGES);
    if (found === undefined) return;
    await state.update(KEY, { ...memory(), said: [...(memory().said ?? []), found] });
    await say(found, language ?? "", () => state.update(KEY, { ...memory(), never: true }));
  };
  void look(vscode.window.activeTextEditor);
  return vscode.window.onDidChangeActiveTextEditor((editor) => void look(editor));
}

async function say(found: Occasion, language: string, never: () => Thenable<void>): Promise<void> {
  const { t } = vscode.l10n;
  const text =
    found === "language"
      ? t("The bundled model completes Python only. A larger model completes {0}, too.", language)
      : t("Lacuna uses its small bundled model. A larger one knows more languages, and more.");
  const [choose, enough] = [t("Choose model"), t("Don't show again")];
  const picked = await vscode.window.showInformationMessage(`Lacuna: ${text}`, choose, enough);
  if (picked === choose) await vscode.commands.executeCommand("lacuna.chooseModel");
  if (picked === enough) await never();
}
