import assert from "node:assert/strict";
import test from "node:test";
import { page } from "../src/chart";
import { explain } from "../src/explanation";

const t = (message: string, ...values: (string | number)[]): string =>
  message.replace(/\{(\d)\}/g, (_, number: string) => String(values[Number(number)]));
const latency = { count: 3, p50_ms: 4.5, p95_ms: 20 };

test("the page draws a bar for each count and sums up", () => {
  const days = { "2026-01-01": { shown: 4, accepted: 2, retained: 1, characters: 30 } };
  const html = page({ kept: true, days, latency }, "en", t);
  assert.equal(html.match(/<rect /g)?.length, 3);
  assert.match(html, /2 \(50 %\)/);
  assert.match(html, /4\.5 ms of 3 answers/);
  assert.match(html, /default-src 'none'/);
});

test("nothing of the data becomes markup", () => {
  const days = { "<script>": { shown: 1, accepted: 0, retained: 0, characters: 0 } };
  assert.doesNotMatch(page({ kept: true, days, latency }, '"><b>', t), /<script>|<b>/);
});

test("an empty page says so", () => {
  assert.match(page({ kept: false, days: {}, latency: { count: 0, p50_ms: null, p95_ms: null } }, "en", t), /is off/);
});

test("an explanation lists what the model was shown of other files", () => {
  const shown = [{ name: "Ledger", path: "/w/ledger.py", line: 3, why: "imported" }];
  const found = {
    suggestions: 1, withheld: null, reason: null, detail: null, stop: "newline", cut: false, cached: false,
    confidence: 0.5, delay_s: 0, model: "bundled", counters: {}, other_files: shown,
  };
  assert.match(explain(found, t), /## Shown of other files\n\n\* `Ledger` \(\/w\/ledger.py:3\): imported\n/);
});

test("an explanation begins with the reason", () => {
  const found = {
    suggestions: 0, withheld: "snoozed", reason: "Suggestions are snoozed.", detail: null, stop: null, cut: false,
    cached: false, confidence: null, delay_s: 0.05, model: "bundled", counters: { total_s: 0.0123, forward_passes: 0 },
  };
  const text = explain(found, t);
  assert.match(text, /\*\*Nothing was shown\.\*\* Suggestions are snoozed\./);
  assert.match(text, /`total_s` \| 12\.3 ms/);
  assert.doesNotMatch(text, /forward_passes/);
  assert.match(text, /Chance of being right \| –/);
  assert.match(explain(null, t), /No suggestion has been requested yet/);
});

test("an explanation says how likely a suggestion is right", () => {
  const found = {
    suggestions: 1, withheld: null, reason: null, detail: null, stop: "newline", cut: false, cached: false,
    confidence: 0.9, verdict: { chance: 0.634, least: 0.4, part: "line", whole: true }, delay_s: 0, model: "bundled",
    counters: {},
  };
  assert.match(explain(found, t), /Chance of being right \| 63 %, of at least 40 %/);
});
