import assert from "node:assert/strict";
import test from "node:test";
import { occasion } from "../src/hint";
import type { Memory, Use } from "../src/hint";

const DAY = 86_400_000;
const use: Use = { model: "bundled", remote: false, language: "python", now: 10 * DAY };
const hint = (memory: Memory, changed: Partial<Use> = {}): string | undefined =>
  occasion(memory, { ...use, ...changed }, ["python", "go", "markdown"]);

test("a document in another language is an occasion, once", () => {
  assert.equal(hint({ first: use.now }, { language: "go" }), "language");
  assert.equal(hint({ first: use.now, said: ["language"] }, { language: "go" }), undefined);
  for (const language of ["python", "markdown", "latex", undefined]) {
    assert.equal(hint({ first: use.now }, { language }), undefined);
  }
});

test("the first day's end is one, unless something was said before", () => {
  assert.equal(hint({ first: use.now - DAY + 1 }), undefined);
  assert.equal(hint({ first: use.now - DAY }), "day");
  assert.equal(hint({ first: use.now - DAY, said: ["language"] }), undefined);
  assert.equal(hint({}), undefined);
});

test("nothing is said to who declined, or uses another model", () => {
  const memory = { first: 0 };
  assert.equal(hint({ ...memory, never: true }, { language: "go" }), undefined);
  assert.equal(hint(memory, { language: "go", model: "qwen2.5-coder-1.5b" }), undefined);
  assert.equal(hint(memory, { language: "go", remote: true }), undefined);
});
