// Compiles the contracts of this folder with the solc that package-lock.json pins.
//
//   node contracts/compile.mjs OUTPUT_FOLDER [SOURCE_FOLDER]
//
// Writes one JSON file a contract: name, abi, bytecode (creation), deployedBytecode, compiler, evmVersion. Settings are fixed
// because the contract's address depends on its bytecode: optimizer on, via IR, EVM version named, no metadata hash.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const solc = require("solc");
const output = process.argv[2];
if (!output) {
  console.error("usage: node contracts/compile.mjs OUTPUT_FOLDER [SOURCE_FOLDER]");
  process.exit(2);
}

const settings = {
  optimizer: { enabled: true, runs: 1000 },
  viaIR: true,
  evmVersion: "cancun",
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
};
const from = process.argv[3] ?? here;
const modules = join(here, "..", "node_modules");
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

// One file at a time: what stands beside a contract never changes its bytecode, and so its address.
function compile(file) {
  const sources = { [file]: { content: readFileSync(join(from, file), "utf8") } };
  const result = JSON.parse(
    solc.compile(JSON.stringify({ language: "Solidity", sources, settings }), { import: read }),
  );
  // Warnings inside the pinned library are its own (it warns of transient storage, which its guard clears again).
  const theirs = (problem) =>
    problem.severity === "warning" && problem.sourceLocation?.file.startsWith("@openzeppelin/");
  const problems = (result.errors ?? []).filter((problem) => problem.severity !== "info" && !theirs(problem));
  for (const problem of problems) console.error(problem.formattedMessage);
  if (problems.length > 0) process.exit(1);
  return Object.entries(result.contracts[file]);
}

mkdirSync(output, { recursive: true });
for (const file of readdirSync(from).filter((name) => name.endsWith(".sol")).sort()) {
  for (const [name, contract] of compile(file)) {
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
}
