/** Runs steps one after the other. Independent of VS Code. */

export class Serial {
  private last: Promise<unknown> = Promise.resolve();

  /** Runs `step` after all earlier ones have finished or failed. Its error is thrown to its own caller only. */
  run<T>(step: () => Promise<T>): Promise<T> {
    const result = this.last.then(step);
    this.last = result.catch(() => undefined);
    return result;
  }
}
