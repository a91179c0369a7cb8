// Builds what must run in a browser: one file per page that needs script, and the embeddable component under a fixed name.
import { resolve } from "node:path";
import { defineConfig } from "vite";

const source = (name: string) => resolve(import.meta.dirname, "src", name);

export default defineConfig({
  root: import.meta.dirname,
  base: "/assets/",
  publicDir: false,
  build: {
    outDir: resolve(import.meta.dirname, "..", ".build", "web"),
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: {
        chat: source("chat.ts"),
        "hallmark-marks": source("marks.ts"),
        network: source("network.ts"),
        receipt: source("receipt.ts"),
        review: source("review.ts"),
        verify: source("verify-page.ts"),
      },
      output: { entryFileNames: "[name].js", chunkFileNames: "part-[hash].js", assetFileNames: "[name]-[hash][extname]" },
    },
  },
});
