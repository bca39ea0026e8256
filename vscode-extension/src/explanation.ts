/** Why the last answer was shown, cut or withheld, as a page of Markdown. Knows nothing of VS Code. */

import type { Translate } from "./words";

export interface Explanation {
  suggestions: number;
  withheld: string | null;
  reason: string | null;
  detail: string | null;
  stop: string | null;
  cut: boolean;
  cached: boolean;
  confidence: number | null;
  delay_s: number;
  model: string;
  counters: Record<string, unknown>;
}

export function explained(found: Explanation | null, t: Translate): string {
  const title = `# ${t("Lacuna: the last answer")}`;
  if (found === null) return `${title}\n\n${t("Nothing was asked yet. Type in a file first.")}\n`;
  const rows: [string, string][] = [
    [t("Suggestions"), String(found.suggestions)],
    [t("Model"), found.model || "–"],
    [t("Ended by"), found.stop ?? "–"],
    [t("Cut, because the text goes on so anyway"), yes(found.cut, t)],
    [t("Found again, not computed"), yes(found.cached, t)],
    [t("Confidence"), found.confidence === null ? "–" : `${Math.round(100 * found.confidence)} %`],
    [t("Waited before asking"), `${Math.round(1000 * found.delay_s)} ms`],
    ...counted(found.counters),
  ];
  return [
    title,
    "",
    verdict(found, t),
    ...(found.detail ? ["", found.detail] : []),
    "",
    `| | |`,
    `| --- | --- |`,
    ...rows.map(([name, value]) => `| ${name} | ${value.replaceAll("|", "\\|")} |`),
    "",
  ].join("\n");
}

function verdict(found: Explanation, t: Translate): string {
  if (found.withheld) return `**${t("Nothing was shown.")}** ${t(found.reason ?? found.withheld)}`;
  return `**${t("A suggestion was shown.")}**`;
}

/** The engine's counters by their own names, those that are zero left out. */
function counted(counters: Record<string, unknown>): [string, string][] {
  return Object.entries(counters)
    .filter(([, value]) => value !== 0 && value !== null && value !== "")
    .map(([name, value]) => [
      `\`${name}\``,
      typeof value === "number" && name.endsWith("_s") ? `${(1000 * value).toFixed(1)} ms` : String(value),
    ]);
}

const yes = (value: boolean, t: Translate): string => (value ? t("yes") : t("no"));
