/** Why the last answer was shown, cut or withheld, as a Markdown page. Independent of VS Code. */

import type { Translate } from "./translate";

export interface Explanation {
  suggestions: number;
  withheld: string | null;
  reason: string | null;
  detail: string | null;
  stop: string | null;
  cut: boolean;
  cached: boolean;
  confidence: number | null;
  verdict?: { chance: number; least: number; part: string | null; whole: boolean } | null;
  delay_s: number;
  model: string;
  counters: Record<string, unknown>;
  /** Missing from older servers. `why` is a reason in English, `line` counts from 1; a passage has no name and line 0. */
  other_files?: { name: string; path: string; line: number; why: string }[];
}

export function explain(answer: Explanation | null, t: Translate): string {
  const title = `# ${t("Lacuna: the last answer")}`;
  if (answer === null) return `${title}\n\n${t("No suggestion has been requested yet. Type in a file first.")}\n`;
  const rows: [string, string][] = [
    [t("Suggestions"), String(answer.suggestions)],
    [t("Model"), answer.model || "–"],
    [t("Ended by"), answer.stop ?? "–"],
    [t("Cut, because it repeated the text that follows"), yesOrNo(answer.cut, t)],
    [t("From the cache"), yesOrNo(answer.cached, t)],
    [t("Confidence"), answer.confidence === null ? "–" : `${Math.round(100 * answer.confidence)} %`],
    [t("Chance of being right"), chance(answer, t)],
    [t("Delay before the request"), `${Math.round(1000 * answer.delay_s)} ms`],
    ...metrics(answer.counters),
  ];
  return [
    title,
    "",
    verdict(answer, t),
    ...(answer.detail ? ["", answer.detail] : []),
    "",
    ...otherFiles(answer.other_files ?? [], t),
    `| | |`,
    `| --- | --- |`,
    ...rows.map(([name, value]) => `| ${name} | ${value.replaceAll("|", "\\|")} |`),
    "",
  ].join("\n");
}

function verdict(answer: Explanation, t: Translate): string {
  if (answer.withheld) return `**${t("Nothing was shown.")}** ${t(answer.reason ?? answer.withheld)}`;
  return `**${t("A suggestion was shown.")}**`;
}

/** What the model was shown of other files, and why. */
function otherFiles(shown: NonNullable<Explanation["other_files"]>, t: Translate): string[] {
  if (!shown.length) return [];
  const items = shown.map(({ name, path, line, why }) => `* ${name ? `\`${name}\` (${path}:${line})` : path}: ${t(why)}`);
  return [`## ${t("Shown of other files")}`, "", ...items, ""];
}

/** The chance of what was shown, or of its beginning, and the least that is shown; an older server tells neither. */
function chance({ verdict }: Explanation, t: Translate): string {
  const percent = (share: number): string => String(Math.round(100 * share));
  return verdict ? t("{0} %, of at least {1} %", percent(verdict.chance), percent(verdict.least)) : "–";
}

/** The engine's metrics by their names, without those that are zero. */
function metrics(counters: Record<string, unknown>): [string, string][] {
  return Object.entries(counters)
    .filter(([, value]) => value !== 0 && value !== null && value !== "")
    .map(([name, value]) => [
      `\`${name}\``,
      typeof value === "number" && name.endsWith("_s") ? `${(1000 * value).toFixed(1)} ms` : String(value),
    ]);
}

const yesOrNo = (value: boolean, t: Translate): string => (value ? t("yes") : t("no"));
