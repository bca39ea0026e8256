import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import test from "node:test";
import { commands, make, wheelIn } from "../src/managed";

const recipe = { python: "python3", folder: "/own", wheel: "/ext/lacuna.whl", bundle: "", windows: false };

test("with a bundle, no network is asked", () => {
  assert.ok(!commands(recipe).flat(2).includes("--no-index"));
  const [, [program, args]] = commands({ ...recipe, bundle: "/wheels" }) as [unknown, [string, string[]]];
  assert.equal(program, "/own/bin/python");
  assert.deepEqual(args.slice(-4), ["--no-index", "--find-links", "/wheels", "/ext/lacuna.whl"]);
});

test("when it fails, the environment that was there stays", async () => {
  const folder = path.join(await fs.mkdtemp(path.join(os.tmpdir(), "lacuna-")), "environment");
  await fs.mkdir(folder);
  await fs.writeFile(path.join(folder, "mark"), "");
  await assert.rejects(make({ ...recipe, folder, python: "/no/such/python" }, () => undefined));
  assert.deepEqual(await fs.readdir(folder), ["mark"]);
});

test("the newest wheel is found, or none", async () => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "lacuna-"));
  assert.equal(await wheelIn(folder), undefined);
  assert.equal(await wheelIn(path.join(folder, "none")), undefined);
  for (const name of ["lacuna_lsp-0.1.0-py3-none-any.whl", "other.whl"]) await fs.writeFile(path.join(folder, name), "");
  assert.equal(await wheelIn(folder), path.join(folder, "lacuna_lsp-0.1.0-py3-none-any.whl"));
});
