import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import test from "node:test";
import { discover } from "../src/discovery";
import { Lifecycle } from "../src/lifecycle";
import { SelectedPython } from "../src/python";

const locations = { setting: "", searchPath: "", managed: "/own", windows: false };
const SERVERS = ["/one/bin/lacuna", "/two/bin/lacuna", "/own/bin/lacuna"];

/** An editor with the Python extension; `selected` is its interpreter. It notes what happens to servers. */
class Editor {
  selected = "/one/bin/python";
  trusted = true;
  installed = true;
  readonly notes: string[] = [];
  private readonly events = new EventEmitter();
  private last = Promise.resolve();
  readonly lifecycle: Lifecycle;
  readonly python: SelectedPython;

  constructor(setting = "", start: (command: string) => Promise<void> = () => Promise.resolve()) {
    const environments = {
      getActiveEnvironmentPath: () => ({ path: this.selected }),
      onDidChangeActiveEnvironmentPath: this.event("interpreter"),
    };
    this.lifecycle = new Lifecycle({
      find: async () => discover({ ...locations, setting, python: await this.python.path() }, (file) => SERVERS.includes(file)),
      start: (found) => {
        this.notes.push(`start ${found?.command}`);
        return start(found?.command ?? "");
      },
      halt: async () => void this.notes.push("halt"),
      failed: (error) => void this.notes.push(String(error)),
    });
    const editor = {
      extension: () => (this.installed ? { activate: async () => ({ environments }) } : undefined),
      onDidChangeExtensions: this.event("extensions"),
      isTrusted: () => this.trusted,
    };
    this.python = new SelectedPython(editor, () => (this.last = this.lifecycle.restartIfOther()));
  }

  /** Selects an interpreter, as the Python extension does. */
  select(interpreter: string): void {
    this.selected = interpreter;
    this.events.emit("interpreter");
  }

  install(installed: boolean): void {
    this.installed = installed;
    this.events.emit("extensions");
  }

  /** What happened since the last call, when all has happened. */
  async happened(): Promise<string[]> {
    await this.last;
    return this.notes.splice(0);
  }

  listeners(): number {
    return this.events.listenerCount("interpreter") + this.events.listenerCount("extensions");
  }

  private event(name: string) {
    return (listener: () => void) => {
      this.events.on(name, listener);
      return { dispose: () => this.events.off(name, listener) };
    };
  }
}

async function started(editor = new Editor()): Promise<Editor> {
  await editor.lifecycle.restart();
  editor.notes.length = 0;
  return editor;
}

test("another interpreter starts its server, once", async () => {
  const editor = await started();
  editor.select("/two/bin/python");
  editor.select("/two/bin/python");
  assert.deepEqual(await editor.happened(), ["halt", "start /two/bin/lacuna"]);
  assert.equal(editor.lifecycle.program, "/two/bin/lacuna");
});

test("an interpreter that is selected while a server starts is not forgotten", async () => {
  let ready = (): void => undefined;
  const starting = new Promise<void>((resolve) => (ready = resolve));
  const editor = new Editor("", (command) => (command === "/one/bin/lacuna" ? starting : Promise.resolve()));
  const first = editor.lifecycle.restart();
  while (!editor.notes.includes("start /one/bin/lacuna")) await new Promise(setImmediate);
  editor.select("/two/bin/python");
  ready();
  await first;
  assert.deepEqual(await editor.happened(), ["halt", "start /one/bin/lacuna", "halt", "start /two/bin/lacuna"]);
});

test("a server that failed gives way to the next interpreter's", async () => {
  const failing = async (command: string): Promise<void> => {
    if (command === "/one/bin/lacuna") throw new Error("broken");
  };
  const editor = new Editor("", failing);
  await editor.lifecycle.restart();
  editor.select("/two/bin/python");
  const expected = ["halt", "start /one/bin/lacuna", "Error: broken", "halt", "start /two/bin/lacuna"];
  assert.deepEqual(await editor.happened(), expected);
});

test("an interpreter without a server of its own leads to the next place, and the same server stays", async () => {
  const editor = await started();
  editor.select("/three/bin/python");
  assert.deepEqual(await editor.happened(), ["halt", "start /own/bin/lacuna"]);
  editor.select("/four/bin/python");
  assert.deepEqual(await editor.happened(), []);
});

test("the setting excludes the interpreter, and an untrusted folder's choice does not count", async () => {
  const set = await started(new Editor("/two/bin/lacuna"));
  set.select("/one/bin/python");
  assert.deepEqual(await set.happened(), []);
  const untrusted = new Editor();
  untrusted.trusted = false;
  await started(untrusted);
  untrusted.select("/two/bin/python");
  assert.deepEqual(await untrusted.happened(), []);
  assert.equal(untrusted.lifecycle.program, "/own/bin/lacuna");
});

test("the Python extension may come later or go, and nothing listens after the end", async () => {
  const editor = new Editor();
  editor.installed = false;
  await started(editor);
  assert.equal(editor.lifecycle.program, "/own/bin/lacuna");
  editor.install(true);
  assert.deepEqual(await editor.happened(), ["halt", "start /one/bin/lacuna"]);
  editor.install(false);
  assert.deepEqual(await editor.happened(), ["halt", "start /own/bin/lacuna"]);
  editor.python.dispose();
  assert.equal(editor.listeners(), 0);
});
