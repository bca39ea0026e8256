/** The statistics as an HTML page. Independent of VS Code. */

import type { Translate } from "./translate";

export interface Counts {
  shown: number;
  accepted: number;
  retained: number;
  characters: number;
}

export interface Statistics {
  kept: boolean;
  days: Record<string, Counts>;
  latency: { count: number; p50_ms: number | null; p95_ms: number | null };
}

const DAYS = 14;
const WIDTH = 640;
const HEIGHT = 220;
const SERIES = ["shown", "accepted", "retained"] as const;

export function page(statistics: Statistics, language: string, t: Translate): string {
  const days = Object.entries(statistics.days).slice(-DAYS);
  const total = sum(days.map(([, counts]) => counts));
  const names = { shown: t("Shown"), accepted: t("Accepted"), retained: t("Retained after 30 s") };
  const { count, p50_ms, p95_ms } = statistics.latency;
  const rows: [string, string][] = [
    [names.shown, String(total.shown)],
    [names.accepted, `${total.accepted} (${percent(total.accepted, total.shown)})`],
    [names.retained, `${total.retained} (${percent(total.retained, total.accepted)})`],
    [t("Characters accepted"), String(total.characters)],
    [t("Latency of this session, p50"), p50_ms === null ? "–" : t("{0} ms of {1} answers", p50_ms, count)],
    [t("Latency of this session, p95"), p95_ms === null ? "–" : t("{0} ms of {1} answers", p95_ms, count)],
  ];
  const note = statistics.kept
    ? t("Counts only, kept on this machine. Nothing is sent.")
    : t("Nothing is counted: the setting lacuna.statistics is off.");
  return `<!DOCTYPE html>
<html lang="${escaped(language)}"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escaped(t("Lacuna: statistics"))}</title><style>${STYLE}</style></head><body>
<h1>${escaped(t("Lacuna: statistics"))}</h1>
${days.length ? chart(days, names) : `<p>${escaped(t("No suggestions have been counted yet."))}</p>`}
<table>${rows.map(([name, value]) => `<tr><th scope="row">${escaped(name)}</th><td>${escaped(value)}</td></tr>`).join("")}</table>
<p class="note">${escaped(note)}</p></body></html>`;
}

function chart(days: [string, Counts][], names: Record<(typeof SERIES)[number], string>): string {
  const max = Math.max(1, ...days.map(([, counts]) => counts.shown));
  const dayWidth = WIDTH / days.length;
  const barWidth = Math.min(18, (dayWidth - 6) / SERIES.length);
  const bars = days.map(([day, counts], number) => {
    const left = number * dayWidth + (dayWidth - barWidth * SERIES.length) / 2;
    const rects = SERIES.map((series, index) => {
      const height = (counts[series] / max) * HEIGHT;
      const at = `x="${fixed(left + index * barWidth)}" y="${fixed(HEIGHT - height)}" width="${fixed(barWidth - 1)}" height="${fixed(height)}"`;
      return `<rect class="${series}" ${at}><title>${escaped(`${day}: ${counts[series]}, ${names[series]}`)}</title></rect>`;
    });
    const middle = fixed(number * dayWidth + dayWidth / 2);
    return `${rects.join("")}<text x="${middle}" y="${HEIGHT + 16}">${escaped(day.slice(5))}</text>`;
  });
  const legend = SERIES.map((series) => `<span><i class="${series}"></i>${escaped(names[series])}</span>`).join("");
  return `<p class="legend">${legend}</p>
<svg role="img" viewBox="0 -4 ${WIDTH} ${HEIGHT + 28}"><line x1="0" x2="${WIDTH}" y1="${HEIGHT}" y2="${HEIGHT}"/>${bars.join("")}</svg>`;
}

function sum(days: Counts[]): Counts {
  const total: Counts = { shown: 0, accepted: 0, retained: 0, characters: 0 };
  for (const day of days) {
    for (const name of Object.keys(total) as (keyof Counts)[]) total[name] += day[name];
  }
  return total;
}

const percent = (part: number, whole: number): string => (whole ? `${Math.round((100 * part) / whole)} %` : "–");
const fixed = (value: number): string => value.toFixed(1);

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const STYLE = `
body { font-family: var(--vscode-font-family); color: var(--vscode-foreground); max-width: 46rem; padding: 1rem; }
h1 { font-size: 1.3em; font-weight: 600; }
svg { width: 100%; } svg text { fill: var(--vscode-descriptionForeground); font-size: 11px; text-anchor: middle; }
svg line { stroke: var(--vscode-descriptionForeground); }
.shown { fill: var(--vscode-charts-blue); background: var(--vscode-charts-blue); }
.accepted { fill: var(--vscode-charts-green); background: var(--vscode-charts-green); }
.retained { fill: var(--vscode-charts-purple); background: var(--vscode-charts-purple); }
.legend span { margin-right: 1.2rem; } .legend i { display: inline-block; width: 0.7em; height: 0.7em; margin-right: 0.4em; }
th { text-align: left; font-weight: normal; padding: 0.2rem 2rem 0.2rem 0; } td { font-variant-numeric: tabular-nums; }
.note { color: var(--vscode-descriptionForeground); }`;
