import assert from "node:assert/strict";
import test from "node:test";
import { display } from "../src/status";
import type { EngineStatus } from "../src/status";

const t = (message: string, ...values: (string | number)[]): string =>
  message.replace(/\{(\d)\}/g, (_, number: string) => String(values[Number(number)]));
const warm: EngineStatus = { phase: "warm", progress: 1, message: "", model: "m", mode: "automatic", snoozed_s: 0 };
const text = (engine: Partial<EngineStatus>, waiting = 0): string =>
  display({ kind: "running", engine: { ...warm, ...engine }, waiting }, t).text;

test("every situation has its words", () => {
  assert.equal(text({}), "Ready");
  assert.equal(text({}, 2), "Busy");
  assert.equal(text({ phase: "loading", progress: 0.42 }), "Loading 42 %");
  assert.equal(text({ mode: "off" }), "Off");
  assert.equal(text({ mode: "manual" }), "Ready, on request");
  assert.equal(text({ snoozed_s: 61 }), "Snoozed for 2 min");
  assert.equal(text({ phase: "asleep" }), "Asleep");
  assert.equal(display({ kind: "starting" }, t).busy, true);
  assert.equal(display({ kind: "stopped" }, t).text, "Stopped");
});

test("failures tell why", () => {
  const failed = display({ kind: "running", engine: { ...warm, phase: "failed", message: "no memory" }, waiting: 0 }, t);
  assert.deepEqual([failed.severity, failed.detail], ["error", "no memory"]);
  assert.equal(display({ kind: "broken", why: "it ended" }, t).detail, "it ended");
  const lost = display({ kind: "running", engine: { ...warm, phase: "unreachable", message: "gone" }, waiting: 0 }, t);
  assert.deepEqual([lost.severity, lost.detail], ["warning", "gone"]);
});
