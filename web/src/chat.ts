// Entry of /chat. Loaded a second time as a worker, the same file is the verifier (chat/judge.ts).
import { App } from "./chat/app.ts";
import { serveVerifier } from "./chat/judge.ts";

async function start(): Promise<void> {
  const root = document.getElementById("chat");
  if (root === null) return;
  try {
    await App.start(root);
    root.setAttribute("data-ready", "");
  } catch (error) {
    const line = document.createElement("p");
    line.setAttribute("role", "alert");
    line.textContent = `This page could not start: ${error instanceof Error ? error.message : String(error)}`;
    root.append(line);
  }
}

if (typeof document === "undefined") serveVerifier();
else void start();
