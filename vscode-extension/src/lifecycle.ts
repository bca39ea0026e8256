/** Starts, stops and exchanges the server. At most one runs at a time. Independent of VS Code. */

import type { Found } from "./discovery";
import { Serial } from "./serial";

export interface Steps {
  find(): Promise<Found | undefined>;
  /** Starts the server that was found; without one, reports that. */
  start(found: Found | undefined): Promise<void>;
  /** Stops the server, if one is running. */
  halt(): Promise<void>;
  /** Reports why the server did not start. */
  failed(error: unknown): void;
}

/** Concurrent calls run one after the other. */
export class Lifecycle {
  private command = "";
  private readonly transitions = new Serial();

  constructor(private readonly steps: Steps) {}

  /** The server's program; empty if it was not found. */
  get program(): string {
    return this.command;
  }

  /** Stops the running server and starts it again. */
  restart(): Promise<void> {
    return this.transitions.run(() => this.exchange());
  }

  /** Restarts if another server is found, for example after another interpreter was selected. */
  restartIfOther(): Promise<void> {
    return this.transitions.run(async () => {
      const found = await this.steps.find();
      if ((found?.command ?? "") !== this.command) await this.exchange();
    });
  }

  stop(): Promise<void> {
    return this.transitions.run(() => this.end());
  }

  private async exchange(): Promise<void> {
    await this.end();
    await this.begin().catch((error: unknown) => this.steps.failed(error));
  }

  private async begin(): Promise<void> {
    const found = await this.steps.find();
    this.command = found?.command ?? "";
    await this.steps.start(found);
  }

  private async end(): Promise<void> {
    this.command = "";
    await this.steps.halt();
  }
}
