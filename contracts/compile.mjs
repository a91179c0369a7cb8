// Compiles the contracts of this folder with the solc that package-lock.json pins.
//
//   node contracts/compile.mjs OUTPUT_FOLDER
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
  console.error("usage: node contracts/compile.mjs OUTPUT_FOLDER");
  process.exit(2);
}

const settings = {
  optimizer: { enabled: true, runs: 1000 },
  viaIR: true,
  evmVersion: "cancun",
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
};
const names = readdirSync(here).filter((name) => name.endsWith(".sol")).sort();
const sources = Object.fromEntries(names.map((name) => [name, { content: readFileSync(join(here, name), "utf8") }]));
const modules = join(here, "..", "node_modules");
const read = (path) => {
  try {
    return { contents: readFileSync(join(modules, path), "utf8") };
  } catch {
    return { error: `${path} is not installed` };
  }
};

const result = JSON.parse(
  solc.compile(JSON.stringify({ language: "Solidity", sources, settings }), { import: read }),
);
const problems = (result.errors ?? []).filter((problem) => problem.severity !== "info");
for (const problem of problems) console.error(problem.formattedMessage);
if (problems.length > 0) process.exit(1);

mkdirSync(output, { recursive: true });
for (const file of names) {
  for (const [name, contract] of Object.entries(result.contracts[file])) {
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
