// Bundles the page into the server's package, with the licences of what is bundled.
import { readFile, readdir, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const TO = "../lacuna_server/http/static";

const { metafile } = await build({
  entryPoints: [
    { in: "src/main.ts", out: "playground" },
    { in: "src/style.css", out: "playground" },
    { in: "src/index.html", out: "index" },
    { in: "src/icon.svg", out: "icon" },
  ],
  outdir: TO,
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome123", "firefox120", "safari17.5"],
  loader: { ".html": "copy", ".svg": "copy" },
  legalComments: "none",
  metafile: true,
  logLevel: "info",
});

const script = Object.entries(metafile.outputs).find(([path]) => path.endsWith("playground.js"))[1];
const bundled = Object.entries(script.inputs)
  .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
  .map(([path]) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1])
  .filter(Boolean);

const notices = await Promise.all([...new Set(bundled)].sort().map(notice));
await writeFile(`${TO}/LICENSES.txt`, `playground.js contains these packages.\n\n${notices.join("\n")}`);

async function notice(name) {
  const folder = `node_modules/${name}`;
  const { version, license } = JSON.parse(await readFile(`${folder}/package.json`, "utf8"));
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} has no licence file`);
  const text = await readFile(`${folder}/${file}`, "utf8");
  return `${"-".repeat(79)}\n${name} ${version} (${license})\n\n${text.trim()}\n`;
}
