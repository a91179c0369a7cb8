// Builds the harness of the browser tests into .build/test-web, apart from everything that is shipped.
import { resolve } from "node:path";
import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  base: "/harness/",
  publicDir: false,
  logLevel: "warn",
  build: {
    outDir: resolve(import.meta.dirname, "..", "..", "..", ".build", "test-web"),
    emptyOutDir: true,
    target: "es2022",
    rollupOptions: { input: resolve(import.meta.dirname, "draw.ts"), output: { entryFileNames: "draw.js" } },
  },
});
