// Bundles the islands into ../static: app.js, and app.css with the styles of what they draw with.
import { build } from "esbuild";

await build({
  entryPoints: { app: "app.ts" },
  outdir: process.argv[2] ?? "../static",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "inline",
  logLevel: "warning",
});
