/** The menu, and commands that choose a model, snooze, and turn a language on or off. */

import * as vscode from "vscode";
import { fetchable, gib } from "./catalogue";
import type { Published } from "./catalogue";
import { fetchModel } from "./fetching";
import type { Server } from "./server";

type Item = vscode.QuickPickItem & { command?: string };

export async function menu(server: Server): Promise<void> {
  const { t } = vscode.l10n;
  const language = vscode.window.activeTextEditor?.document.languageId;
  const item = (icon: string, label: string, command: string): Item => ({ label: `$(${icon}) ${label}`, command });
  const items: Item[] = [
    ...(server.situation.kind === "broken" ? [item("cloud-download", t("Install the server"), "lacuna.install")] : []),
    ...(language ? [languageItem(language)] : []),
    isSnoozed(server)
      ? item("bell", t("Wake up"), "lacuna.wake")
      : item("bell-slash", t("Snooze for 5 minutes"), "lacuna.snooze5"),
    ...(isSnoozed(server) ? [] : [item("bell-slash", t("Snooze for 30 minutes"), "lacuna.snooze30")]),
    item("server-environment", t("Choose model"), "lacuna.chooseModel"),
    item("question", t("Why did nothing appear?"), "lacuna.why"),
    item("graph", t("Statistics"), "lacuna.showStatistics"),
    item("debug-restart", t("Restart the server"), "lacuna.restart"),
    item("output", t("Log"), "lacuna.showLog"),
    item("gear", t("Settings"), "lacuna.openSettings"),
  ];
  const picked = await vscode.window.showQuickPick(items, { title: "Lacuna", matchOnDescription: true });
  if (picked?.command) await vscode.commands.executeCommand(picked.command);
}

function languageItem(language: string): Item {
  const { t } = vscode.l10n;
  return isOn(language)
    ? { label: `$(circle-slash) ${t("Turn off for {0}", language)}`, command: "lacuna.toggleLanguage" }
    : { label: `$(check) ${t("Turn on for {0}", language)}`, command: "lacuna.toggleLanguage" };
}

function isOn(language: string): boolean {
  const languages = vscode.workspace.getConfiguration("lacuna").get<Record<string, boolean>>("languages") ?? {};
  return languages[language] ?? languages["*"] ?? true;
}

export async function toggleLanguage(): Promise<void> {
  const language = vscode.window.activeTextEditor?.document.languageId;
  if (language === undefined) return;
  const configuration = vscode.workspace.getConfiguration("lacuna");
  const languages = { ...configuration.get<Record<string, boolean>>("languages"), [language]: !isOn(language) };
  await configuration.update("languages", languages, vscode.ConfigurationTarget.Global);
}

function isSnoozed(server: Server): boolean {
  return server.situation.kind === "running" && server.situation.engine.snoozed_s > 0;
}

export async function snooze(server: Server): Promise<void> {
  const { t } = vscode.l10n;
  const times = [5, 30].map((minutes) => ({ label: t("{0} minutes", minutes), minutes }));
  const picked = await vscode.window.showQuickPick(times, { title: t("Snooze") });
  if (picked !== undefined) await server.execute("lacuna.snooze", { minutes: picked.minutes });
}

interface Model {
  name: string;
  bytes: number;
  fits: boolean | null;
  type?: string;
  problem?: string;
}

type Choice = vscode.QuickPickItem & { choose?: () => Thenable<string | undefined> };

export async function chooseModel(server: Server): Promise<void> {
  const { t } = vscode.l10n;
  const listed = server.execute<Model[]>("lacuna.models").then((models): Choice[] => [
    ...models.map(onDisk),
    { label: `$(folder) ${t("A folder…")}`, choose: () => pick(false) },
    { label: `$(file) ${t("A GGUF file…")}`, choose: () => pick(true) },
    { label: t("Published models"), kind: vscode.QuickPickItemKind.Separator },
    ...fetchable(models.map(({ name }) => name)).map((model) => toFetch(server, model)),
  ]);
  const picked = await vscode.window.showQuickPick(listed, { title: t("Models on this machine") });
  const chosen = await picked?.choose?.();
  if (!chosen) return;
  await vscode.workspace.getConfiguration("lacuna").update("model", chosen, vscode.ConfigurationTarget.Global);
}

function onDisk({ name, bytes, fits, type, problem }: Model): Choice {
  return {
    label: name,
    description: [`${Math.max(1, Math.round(bytes / 2 ** 20))} MiB`, type].filter(Boolean).join(", "),
    detail: problem || fitting(fits),
    choose: () => Promise.resolve(name),
  };
}

function toFetch(server: Server, model: Published): Choice {
  return {
    label: `$(cloud-download) ${model.title}`,
    description: `${gib(model.bytes)}, ${model.licence}`,
    choose: () => fetchModel(server.program, model),
  };
}

function fitting(fits: boolean | null): string {
  const { t } = vscode.l10n;
  return fits === null ? t("It is unknown whether it fits.") : fits ? t("It fits.") : t("It does not fit.");
}

/** The path of a folder or a GGUF file: the dialogs of Windows and Linux show either. */
async function pick(file: boolean): Promise<string | undefined> {
  const wanted = file ? { filters: { GGUF: ["gguf"] } } : { canSelectFolders: true, canSelectFiles: false };
  const picked = await vscode.window.showOpenDialog(wanted);
  return picked?.[0]?.fsPath;
}
