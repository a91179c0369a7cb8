// Compiles the contracts of this folder with the solc that package-lock.json pins.
//
//   node contracts/compile.mjs OUTPUT_FOLDER [SOURCE_FOLDER]
//
// Writes one JSON file a contract: name, abi, bytecode (creation), deployedBytecode, compiler, evmVersion. Settings are fixed
// because the contract's address depends on its bytecode: optimizer on, via IR, EVM version named, no metadata hash.
//
// One file at a time, so that what stands beside a contract never changes its bytecode; as many side by side as there are
// processors, the largest first. Code is made for the contracts of that file alone, not for the libraries that it imports.

import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "..", "node_modules");

// Inside a worker: compile what the main thread names, one after another.
function work({ from, output }) {
  const solc = createRequire(import.meta.url)("solc");
  const read = (path) => {
    for (const folder of [from, here, modules]) {
      try {
        return { contents: readFileSync(join(folder, path), "utf8") };
      } catch {
        continue;
      }
    }
    return { error: `${path} is not installed` };
  };
  parentPort.on("message", (file) => {
    parentPort.postMessage(compile(solc, read, from, file, output));
  });
  parentPort.postMessage([]);
}

// Compiles one file and writes its contracts; what is wrong with it, as text.
function compile(solc, read, from, file, output) {
  const settings = {
    optimizer: { enabled: true, runs: 1000 },
    viaIR: true,
    evmVersion: "cancun",
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { [file]: { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
  };
  const sources = { [file]: { content: readFileSync(join(from, file), "utf8") } };
  const asked = JSON.stringify({ language: "Solidity", sources, settings });
  const result = JSON.parse(solc.compile(asked, { import: read }));
  // Warnings inside the pinned library are its own (it warns of transient storage, which its guard clears again).
  const theirs = (problem) =>
    problem.severity === "warning" && problem.sourceLocation?.file.startsWith("@openzeppelin/");
  const problems = (result.errors ?? []).filter((problem) => problem.severity !== "info" && !theirs(problem));
  if (problems.length > 0) return problems.map((problem) => problem.formattedMessage);
  for (const [name, contract] of Object.entries(result.contracts?.[file] ?? {})) {
    if (contract.evm.bytecode.object === "") continue; // interfaces and abstract contracts
    const built = {
      name,
      compiler: solc.version(),
      evmVersion: settings.evmVersion,
      abi: contract.abi,
      bytecode: "0x" + contract.evm.bytecode.object,
      deployedBytecode: "0x" + contract.evm.deployedBytecode.object,
    };
    writeFileSync(join(output, `${name}.json`), JSON.stringify(built, null, 1) + "\n");
  }
  return [];
}

function main() {
  const output = process.argv[2];
  if (!output) {
    console.error("usage: node contracts/compile.mjs OUTPUT_FOLDER [SOURCE_FOLDER]");
    process.exit(2);
  }
  const from = process.argv[3] ?? here;
  mkdirSync(output, { recursive: true });
  const size = (file) => statSync(join(from, file)).size;
  const waiting = readdirSync(from)
    .filter((name) => name.endsWith(".sol"))
    .sort((one, other) => size(other) - size(one) || one.localeCompare(other));
  for (let count = Math.min(availableParallelism(), waiting.length); count > 0; count--) {
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { from, output } });
    worker.on("message", (problems) => {
      for (const problem of problems) console.error(problem);
      if (problems.length > 0) process.exit(1);
      const file = waiting.shift();
      if (file === undefined) worker.terminate();
      else worker.postMessage(file);
    });
    worker.on("error", (error) => {
      console.error(error);
      process.exit(1);
    });
  }
}

if (isMainThread) main();
else work(workerData);
