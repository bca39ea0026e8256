/** Runs steps one after the other. Knows nothing of VS Code. */

export class Serial {
  private last: Promise<unknown> = Promise.resolve();

  /** Runs `step` when all earlier ones have ended, be it that they failed. What it throws concerns its own caller only. */
  run<T>(step: () => Promise<T>): Promise<T> {
    const result = this.last.then(step);
    this.last = result.catch(() => undefined);
    return result;
  }
}
