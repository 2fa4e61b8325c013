// llama_engine.mjs - node-llama-cpp in Node, line by line (rival.ts). argv: its module, threads.
import process from "node:process";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [module, count] = process.argv.slice(2);
const threads = Number(count);
const { getLlama } = await import(pathToFileURL(module).href);
const llama = await getLlama({
  gpu: false,
  build: "never",
  maxThreads: threads,
  logLevel: "error",
});
let model, context, sequence;

const answers = {
  async open({ path, contextTokens }) {
    await context?.dispose();
    await model?.dispose();
    model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
    context = await model.createContext({
      contextSize: contextTokens,
      sequences: 1,
      threads: { ideal: threads, min: threads },
      flashAttention: true,
      ignoreMemorySafetyChecks: true,
    });
    sequence = context.getSequence();
    return { threads: context.currentThreads, flashAttention: context.flashAttention };
  },
  // Reads ids from an empty sequence on.
  async prefill({ ids }) {
    await sequence.clearHistory();
    const started = performance.now();
    await sequence.evaluateWithoutGeneratingNewTokens(ids);
    return { ms: performance.now() - started };
  },
  // Milliseconds of a token, the most probable one after `next`; what is held is then as before.
  async decode({ next, tokens }) {
    const before = sequence.nextTokenIndex;
    const started = performance.now();
    let done = 0;
    const options = { temperature: 0, yieldEogToken: true };
    for await (const _ of sequence.evaluate([next], options)) if (++done === tokens) break;
    const ms = performance.now() - started;
    const after = sequence.nextTokenIndex;
    await sequence.eraseContextTokenRanges([{ start: before, end: after }]);
    if (sequence.nextTokenIndex !== before) throw new Error(`${sequence.nextTokenIndex} are held`);
    return { ms: ms / done, done };
  },
  async load({ path }) {
    await sequence.loadStateFromFile(path, { acceptRisk: true });
    return { tokens: sequence.nextTokenIndex };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const ask = JSON.parse(line);
  const answer = await answers[ask.do](ask).catch((error) => ({ error: `${error}` }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0); // what llama.cpp still does ends with us
