/** What the status items show. Independent of VS Code. */

import type { Translate } from "./translate";

/** The parameters of the server's notification `lacuna/status`. */
export interface EngineStatus {
  phase: "unloaded" | "loading" | "warm" | "failed" | "asleep" | "unreachable";
  /** From 0 to 1. */
  progress: number;
  message: string;
  model: string;
  mode: "automatic" | "manual" | "off";
  snoozed_s: number;
}

export type Situation =
  | { kind: "stopped" }
  | { kind: "starting" }
  | { kind: "broken"; why: string }
  | { kind: "running"; engine: EngineStatus; waiting: number };

export interface Display {
  icon: string;
  text: string;
  detail: string;
  severity: "info" | "warning" | "error";
  busy: boolean;
}

export function display(situation: Situation, t: Translate): Display {
  switch (situation.kind) {
    case "stopped":
      return plain("circle-slash", t("Stopped"));
    case "starting":
      return { ...plain("loading~spin", t("Starting")), busy: true };
    case "broken":
      return { icon: "error", text: t("Error"), detail: situation.why, severity: "error", busy: false };
    case "running":
      return running(situation.engine, situation.waiting, t);
  }
}

function running(engine: EngineStatus, waiting: number, t: Translate): Display {
  switch (engine.phase) {
    case "failed":
      return { icon: "error", text: t("Error"), detail: engine.message, severity: "error", busy: false };
    case "unreachable":
      return { icon: "warning", text: t("Unreachable"), detail: engine.message, severity: "warning", busy: false };
    case "unloaded":
    case "loading": {
      const percent = Math.round(100 * engine.progress);
      return { ...plain("loading~spin", t("Loading {0} %", percent), engine.message), busy: true };
    }
    case "asleep":
    case "warm":
      return warm(engine, waiting, t);
  }
}

function warm(engine: EngineStatus, waiting: number, t: Translate): Display {
  if (engine.snoozed_s > 0) return plain("bell-slash", t("Snoozed for {0} min", Math.ceil(engine.snoozed_s / 60)));
  if (engine.mode === "off") return plain("circle-slash", t("Off"));
  if (engine.phase === "asleep") return plain("moon", t("Asleep"), engine.model);
  if (waiting > 0) return { ...plain("loading~spin", t("Busy"), engine.model), busy: true };
  return plain("sparkle", engine.mode === "manual" ? t("Ready, on request") : t("Ready"), engine.model);
}

function plain(icon: string, text: string, detail = ""): Display {
  return { icon, text, detail, severity: "info", busy: false };
}
