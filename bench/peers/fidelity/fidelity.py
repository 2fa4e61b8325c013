"""What a user would pick instead: other caches on the same documents as `specache eval`.

    deno task peers:fidelity DOCUMENTS.jsonl OUT.json [--budgets .094,.25] [--rivals snapkv,...]

makes a virtual environment of its own in the cache folder (7.4 GB with PyPI's torch) and runs this.
DOCUMENTS has a document a line: {task, seed, ids, answers, target, depth}. `answers` are texts, or
null; `target`, the greedy tokens of the uncut cache, and `depth` may be missing. --ours takes the
file of `eval --resume` on the same documents, for one table of both. OUT gets a report in the shape of eval/rows.ts, standard output the same as a table.
Losses stand beside OUT in OUT.losses.jsonl, one line for each document and mode: a run that was
interrupted, or asks for more, goes on from there.

What is compared:
  same text     every rival sees the whole prompt, question included, when it evicts. That is
                kinder to those that score by the newest queries (snapkv, tova) than a question
                which comes later.
  same steps    every mode is fed the same tokens; step 0, the prompt's own, is not counted.
  near bytes    at the end of a document, keys and values as 16-bit numbers. Evicting rivals keep
                `budget` of the prompt, and on top every decoded token, as kvpress does: at most
                79, so their near ratio lies a little above the budget, in their favour.
                Quantised ones count codes, scales and shifts.
  arithmetic    float32 throughout, weights and caches: rivals lose nothing else.
Rivals: window (StreamingLLM: 4 sinks and the newest), snapkv, expected (expected attention), h2o
(observed attention), tova, adakv (expected attention, budget shared over heads), kvzip (the model
repeats the prompt to score it: three prefills; budget shared over layers and heads), quanto-4 and
-2 (transformers' QuantizedCache as shipped), kivi-4 and -2 (the same cache with keys by channel
and the newest 64 to 127 tokens exact), expected+quanto-4 (both, to the same bytes).
"""

import argparse
import hashlib
import json
import logging
import os
import sys
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import decode
import rivals
import rows

ATTENTION_COPIES = 3  # of [queryHeads, tokens, tokens] float32 that eager attention holds at once


def main():
    options = options_of(sys.argv[1:])
    logging.getLogger("kvpress").setLevel(logging.ERROR)  # KVzipPress warns at every budget
    torch.set_num_threads(options.threads)
    model, tokenizer = load(options.model)
    modes = rivals.modes(options.rivals, options.budgets)
    known = f"{options.out}.losses.jsonl"
    losses = read_whole_lines(known) if os.path.exists(known) else []
    documents = read_lines(options.documents)
    done = {(it["document"], it["mode"]) for it in losses}
    with open(known, "a") as file:
        for at, document in enumerate(documents):
            started, name = time.time(), name_of(document)
            missing = [mode for mode in modes if (name, mode.name) not in done]
            missing = possible(missing, len(document["ids"]), model.config, options.attention_gib)
            for loss in losses_of(model, tokenizer, document, missing):
                losses.append(loss)
                file.write(json.dumps(loss) + "\n")
                file.flush()
            title = f"{document['task']}, {len(document['ids'])} tokens, {len(missing)} modes"
            seconds = time.time() - started
            print(f"{at + 1}/{len(documents)} {title}: {seconds:.0f} s", file=sys.stderr)
    asked, names = {name_of(it) for it in documents}, {mode.name for mode in modes}
    losses = [it for it in losses if it["document"] in asked and it["mode"] in names]
    losses += ours_of(options.ours, documents) if options.ours else []
    with open(options.out, "w") as file:
        json.dump(rows.report(os.path.basename(options.model), losses), file, indent=1)
    print(rows.table(losses))


def losses_of(model, tokenizer, document, modes):
    """What each of `modes` lost on a document, behind one prefill."""
    if not modes:
        return
    with torch.inference_mode():
        needs = {mode.needs for mode in modes if mode.needs}
        prefilled = rivals.prefill(model, tokenizer, document["ids"], needs)
        start, whole = prefilled.tokens, rivals.full(model, prefilled)
        target = decode.target_of(model, whole, prefilled, document)
        truth = decode.feed(model, whole.fork(), target[:-1], start)
        for mode in modes:
            held = mode.make(model, prefilled)
            logits = decode.feed(model, held.fork(), target[:-1], start)
            answers = document.get("answers")
            row = 2 * rivals.SHORT_BYTES * model.config.head_dim * model.config.num_key_value_heads
            row *= model.config.num_hidden_layers
            yield {
                **{name: document.get(name) for name in ("task", "seed", "depth")},
                "tokens": start,
                "document": name_of(document),
                "mode": mode.name,
                "recalled": None if answers is None else decode.recalled(
                    model, held, logits, target, start, answers, tokenizer.decode
                ),
                "nearBytes": held.near_bytes + row * len(logits),
                "fullBytes": row * (start + len(logits)),
                **decode.compare(logits, truth, target[1:]),
            }  # fmt: skip


def ours_of(path, documents):
    """What our own modes lost, by `eval --resume`; it keeps sums where rivals have a step each."""
    asked = {(it["task"], len(it["ids"]), it["seed"]): name_of(it) for it in documents}
    for line in read_lines(path):
        name, steps = asked.get((line["task"], line["tokens"], line["seed"])), len(line["kl"])
        if name is None or line["mode"] == "full" or steps == 0:
            continue
        kept = ("task", "tokens", "seed", "depth", "mode", "recalled", "kl")
        yield {
            **{name: line[name] for name in (*kept, "nearBytes", "fullBytes")},
            "document": name,
            "same": [at < line["agreed"] for at in range(steps)],
            "surprise": [line["surprise"] / steps] * steps,
        }


def possible(modes, tokens, config, gib):
    """Leaves out, with a word, what needs all attention of a layer where that is too large."""
    needed = ATTENTION_COPIES * config.num_attention_heads * tokens**2 * 4 / 2**30
    left = [mode for mode in modes if mode.needs != "h2o" or needed <= gib]
    if len(left) < len(modes):
        print(
            f"h2o left out: {tokens} tokens need {needed:.1f} GiB of attention, "
            f"--attention-gib is {gib}",
            file=sys.stderr,
        )
    return left


def load(path):
    """A model in float32 and its tokenizer: a GGUF file, dequantised, or a folder."""
    gguf = path.endswith(".gguf")
    folder, file = os.path.split(path) if gguf else (path, None)
    named = {"gguf_file": file} if gguf else {}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **named)
    return model.eval(), AutoTokenizer.from_pretrained(folder, **named)


def name_of(document) -> str:
    """The same for the same prompt, target and answers."""
    told = [document["task"], document["ids"], document.get("target"), document.get("answers")]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def read_lines(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.strip()]


def read_whole_lines(path):
    """Lines of a file; the last is cut off where a stopped run left half of it."""
    with open(path, "r+b") as file:
        text = file.read()
        file.truncate(text.rfind(b"\n") + 1)
    return read_lines(path)


def options_of(arguments):
    parser = argparse.ArgumentParser(prog="peers:fidelity")
    parser.add_argument("documents", help="a document a line, in JSON")
    parser.add_argument("out", help="the report; OUT.losses.jsonl is kept beside it")
    parser.add_argument("--model", required=True, help="a GGUF file, or a folder")
    parser.add_argument(
        "--budgets",
        type=numbers,
        default=numbers(".07,.094,.125,.2,.25,.5"),
        help="shares of the prompt's 16-bit cache that evicting rivals keep",
    )
    parser.add_argument(
        "--rivals", type=names, default=rivals.RIVALS, help=f"of {','.join(rivals.RIVALS)}"
    )
    parser.add_argument("--ours", help="the file of eval --resume on the same documents")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--attention-gib",
        type=float,
        default=8,
        help="most memory for h2o, which needs the attention of a whole layer",
    )
    return parser.parse_args(arguments)


def numbers(text):
    budgets = [float(it) for it in text.split(",")]
    if not all(0 < it < 1 for it in budgets):
        raise argparse.ArgumentTypeError(f"budgets must be between 0 and 1, are {text}")
    return budgets


def names(text):
    unknown = [it for it in text.split(",") if it not in rivals.RIVALS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(rivals.RIVALS)}")
    return text.split(",")


if __name__ == "__main__":
    main()
