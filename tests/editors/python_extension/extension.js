/** As much of the Python extension as ours asks: which interpreter is chosen, and when that changes. */

const path = require("node:path");
const vscode = require("vscode");

exports.activate = (context) => {
  const interpreters = process.env.LACUNA_TEST_INTERPRETERS.split(path.delimiter);
  const changed = new vscode.EventEmitter();
  const next = () => {
    interpreters.push(interpreters.shift());
    changed.fire({ path: interpreters[0] });
  };
  context.subscriptions.push(changed, vscode.commands.registerCommand("python.next", next));
  return {
    environments: {
      getActiveEnvironmentPath: () => ({ path: interpreters[0] }),
      onDidChangeActiveEnvironmentPath: changed.event,
    },
  };
};
