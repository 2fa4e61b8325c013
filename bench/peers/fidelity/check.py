"""Checks what fidelity.py rests on, and prints the figures; ends with 1 where one is too large.

    deno task peers:fidelity --check

1. The model as transformers loads it gives the ids, top logits and greedy text of the reference
   that the engine's own tests hold against.
2. One prefill, scores taken aside, and all tokens fed at once give the logits that each rival
   gives its own way: kvpress' hooks in a prefill of its own, then single steps.
"""

import argparse
import json
from dataclasses import dataclass

import kvpress
import torch
from kvpress.presses import kvzip_press
from transformers import DynamicCache, QuantizedCache

import decode
import fidelity
import rivals

# As tests/long/smollm2.test.ts has it: ten times what float32 is off in tiny models.
TOLERANCE = 3e-3
# A rounding to 2 bits may fall the other way where floats differ in their last bits.
TOLERANCE_QUANTISED = 3e-2
BUDGET, TOKENS, STEPS = 0.25, 600, 24



@dataclass
class Tokenizers:
    """Stands where KVzipPress would ask a hub for the model's tokenizer."""

    tokenizer: object

    def from_pretrained(self, name):
        return self.tokenizer


PRESSES = {
    "window": kvpress.StreamingLLMPress,
    "snapkv": kvpress.SnapKVPress,
    "expected": kvpress.ExpectedAttentionPress,
    "h2o": kvpress.ObservedAttentionPress,
    "tova": kvpress.TOVAPress,
    "kvzip": kvpress.KVzipPress,
    "adakv": lambda ratio: kvpress.AdaKVPress(kvpress.ExpectedAttentionPress(ratio)),
}


def main():
    parser = argparse.ArgumentParser(prog="peers:fidelity --check")
    parser.add_argument("--model", required=True)
    parser.add_argument("--golden", required=True)
    options = parser.parse_args()
    model, tokenizer = fidelity.load(options.model)
    with open(options.golden) as file:
        golden = json.load(file)
    with torch.inference_mode():
        right = [*reference(model, tokenizer, golden), *own_ways(model, tokenizer, golden)]
    print(f"{sum(right)} passed, {len(right) - sum(right)} failed")
    raise SystemExit(0 if all(right) else 1)


def reference(model, tokenizer, golden):
    for case in golden["tokenizer"]:
        ids = tokenizer.encode(case["text"], add_special_tokens=False)
        yield ids == case["ids"] and tokenizer.decode(ids) == case["decoded"]
    for case in golden["prompts"]:
        prefilled = rivals.prefill(model, tokenizer, case["ids"], set())
        off = max(abs(logit - float(prefilled.logits[id])) for id, logit in case["top"])
        first, tokens = [int(prefilled.logits.argmax())], len(case["greedy"])
        whole = rivals.full(model, prefilled)
        text = decode.greedy(model, whole, first, prefilled.tokens, tokens, lambda ids: False)
        print(f"{case['name']}: top logits off by {off:.1e}, greedy {text == case['greedy']}")
        yield off <= TOLERANCE and text == case["greedy"]


def own_ways(model, tokenizer, golden):
    ids = golden["prompts"][-1]["ids"]
    prompt, fed = ids[:TOKENS], ids[TOKENS : TOKENS + STEPS]
    tokenizer.chat_template = None  # a chat's frame counts as text, here and there
    kvzip_press.AutoTokenizer = Tokenizers(tokenizer)
    prefilled = rivals.prefill(model, tokenizer, prompt, {*rivals.SCORERS, "kvzip"})
    for mode in rivals.modes([*PRESSES, "quanto-4", "quanto-2"], [BUDGET]):
        held = mode.make(model, prefilled).fork()
        ours = decode.feed(model, held, fed, len(prompt))
        name = mode.name.removesuffix(f"-{BUDGET}")
        off = float((ours - own_way(model, name, prompt, fed)).abs().max())
        print(f"{name}: logits off by {off:.1e}")
        yield off <= (TOLERANCE_QUANTISED if name in rivals.QUANTISED else TOLERANCE)


def own_way(model, name, prompt, fed):
    cache = DynamicCache()
    if name in rivals.QUANTISED:
        cache = QuantizedCache("quanto", model.config, nbits=rivals.QUANTISED[name][0])
    for layer in model.model.layers:
        layer.self_attn.masked_key_indices = None
    model.set_attn_implementation("eager" if name == "h2o" else "sdpa")
    if name in PRESSES:
        with PRESSES[name](1 - BUDGET)(model):
            # KVzipPress wants both by name, of the model without its head.
            model.model(input_ids=torch.tensor([prompt]), past_key_values=cache)
    else:
        model(torch.tensor([prompt]), past_key_values=cache)
    model.set_attn_implementation("sdpa")
    steps = []
    for at, id in enumerate(fed):
        position = torch.tensor([[len(prompt) + at]])
        out = model(torch.tensor([[id]]), past_key_values=cache, position_ids=position)
        steps.append(out.logits[0, -1])
    return torch.stack(steps)


if __name__ == "__main__":
    main()
