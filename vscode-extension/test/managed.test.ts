import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import test from "node:test";
import { commands, create, isCurrent, update, wheelIn } from "../src/managed";

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
  await assert.rejects(create({ ...recipe, folder, python: "/no/such/python" }, () => undefined));
  assert.deepEqual(await fs.readdir(folder), ["mark"]);
});

test("the newest wheel is found, or none", async () => {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "lacuna-"));
  assert.equal(await wheelIn(folder), undefined);
  assert.equal(await wheelIn(path.join(folder, "none")), undefined);
  for (const name of ["lacuna_lsp-0.1.0-py3-none-any.whl", "other.whl"]) await fs.writeFile(path.join(folder, name), "");
  assert.equal(await wheelIn(folder), path.join(folder, "lacuna_lsp-0.1.0-py3-none-any.whl"));
});

/** An environment whose interpreter writes down what it is asked, and fails where `failing` is in it. */
async function environment(failing = "nothing"): Promise<{ folder: string; wheel: string; asked: () => Promise<string> }> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "lacuna-"));
  const [wheel, log] = [path.join(folder, "lacuna_lsp-2-py3-none-any.whl"), path.join(folder, "asked")];
  await fs.writeFile(wheel, "two");
  await fs.mkdir(path.join(folder, "bin"));
  const script = `#!/bin/sh\necho "$@" >> ${log}\ncase "$*" in *${failing}*) exit 1;; esac\n`;
  await fs.writeFile(path.join(folder, "bin", "python"), script, { mode: 0o755 });
  return { folder, wheel, asked: () => fs.readFile(log, "utf8") };
}

test("an environment of another wheel is brought to this one without a network", async () => {
  const { folder, wheel, asked } = await environment();
  assert.ok(!(await isCurrent(folder, wheel)));
  await update({ folder, wheel, windows: false });
  assert.match(await asked(), /install --no-index --no-deps --force-reinstall .*lacuna_lsp-2/);
  assert.ok(await isCurrent(folder, wheel));
  await fs.writeFile(wheel, "another build");
  assert.ok(!(await isCurrent(folder, wheel)));
});

test("an environment that lacks packages stays marked as old", async () => {
  const { folder, wheel } = await environment("check");
  await assert.rejects(update({ folder, wheel, windows: false }));
  assert.ok(!(await isCurrent(folder, wheel)));
});
