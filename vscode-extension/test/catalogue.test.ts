import assert from "node:assert/strict";
import test from "node:test";
import { fetchable, gib } from "../src/catalogue";

test("what is on this machine is not offered again", () => {
  const all = fetchable(["bundled"]).map(({ name }) => name);
  assert.ok(all.includes("qwen2.5-coder-1.5b"));
  assert.ok(!all.includes("bundled"));
  const here = ["ggml-org/Qwen2.5-Coder-1.5B-Q8_0-GGUF:qwen2.5-coder-1.5b-q8_0.gguf", "lacuna:mellum-4b"];
  const left = fetchable(here).map(({ name }) => name);
  assert.deepEqual(all.filter((name) => !left.includes(name)).sort(), ["mellum-4b", "qwen2.5-coder-1.5b"]);
});

test("every model has a title of its own, and a size", () => {
  const models = fetchable([]);
  assert.equal(new Set(models.map(({ title }) => title)).size, models.length);
  assert.equal(gib(1646573056), "1.5 GiB");
});
