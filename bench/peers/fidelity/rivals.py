"""What each rival keeps of one prefilled cache.

Evicting rivals are presses of kvpress. Their scores are taken behind each layer's attention during
the one exact prefill, where their own hooks would take them; kvpress then evicts by these scores.
Eviction changes no output of a prefill, so one prefill serves all presses and budgets.
Quantised rivals are QuantizedCache of transformers, in bits and groups as it ships them.
"""

import copy
from dataclasses import dataclass, field
from typing import Callable

import torch
from kvpress import (
    AdaKVPress,
    BasePress,
    ExpectedAttentionPress,
    KVzipPress,
    ObservedAttentionPress,
    ScorerPress,
    SnapKVPress,
    StreamingLLMPress,
    TOVAPress,
)
from transformers import DynamicCache, QuantizedCache

# Scores of a prefill, by the rival that evicts by them. "h2o" needs the attention itself.
SCORERS = {
    "snapkv": SnapKVPress,
    "expected": ExpectedAttentionPress,
    "h2o": ObservedAttentionPress,
    "tova": TOVAPress,
}
SHORT_BYTES = 2  # of a number in a cache of 16 bits
EXACT_TOKENS = 64  # newest tokens, and the rest of a group, that "kivi" leaves exact: 64 to 127


@dataclass
class Scores(BasePress):
    """A press that evicts nothing and notes the scores of others."""

    presses: dict[str, ScorerPress]
    taken: dict[str, list[torch.Tensor]] = field(default_factory=dict)  # [1, kvHeads, tokens] each

    def forward_hook(self, module, input, kwargs, output):
        layer = kwargs["past_key_values"].layers[module.layer_idx]
        for name, press in self.presses.items():
            score = press.score(
                module, kwargs["hidden_states"], layer.keys, layer.values, output[1], kwargs
            )
            self.taken.setdefault(name, []).append(score)
        return output


@dataclass
class Scored(ScorerPress):
    """A press whose scores were taken before."""

    layers: list[torch.Tensor] = field(default_factory=list)

    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        return self.layers[module.layer_idx].clone()  # AdaKVPress writes into it


@dataclass
class Prefilled:
    """The exact cache of one document's prompt."""

    cache: DynamicCache
    scores: dict[str, list[torch.Tensor]]
    tokens: int
    logits: torch.Tensor  # [vocabulary], behind the last token


@dataclass
class Held:
    """What a rival holds of a prompt."""

    cache: object
    near_bytes: int
    # AdaKVPress evicts by masking: the tokens of each layer that it masks.
    masked: list | None = None

    def fork(self) -> "Held":
        """A copy to decode with: caches replace their tensors, they do not write into them."""
        cache = copy.copy(self.cache)
        cache.layers = [copy.copy(layer) for layer in self.cache.layers]
        return Held(cache, self.near_bytes, self.masked)


def prefill(model, tokenizer, ids, names) -> Prefilled:
    """Runs the prompt `ids` once, exactly, and takes the scores of the rivals `names`."""
    model.set_attn_implementation("eager" if "h2o" in names else "sdpa")
    scores = Scores({name: SCORERS[name]() for name in names if name in SCORERS})
    cache = DynamicCache()
    with scores(model):
        logits = model(torch.tensor([ids]), past_key_values=cache, logits_to_keep=1).logits
    model.set_attn_implementation("sdpa")
    prefilled = Prefilled(cache, scores.taken, len(ids), logits[0, -1])
    if "kvzip" in names:
        prefilled.scores["kvzip"] = reconstruction_scores(model, tokenizer, prefilled, ids)
    return prefilled


def reconstruction_scores(model, tokenizer, prefilled, ids) -> torch.Tensor:
    """KVzip's scores [layers, 1, kvHeads, tokens]: it lets the model repeat the prompt.

    This is what `with KVzipPress(...)` does behind a prefill; that form would ask a hub for the
    tokenizer. The request to repeat ends in a turn of the chat, as there.
    """
    press = KVzipPress(compression_ratio=0.5)  # scores do not depend on it
    press._context_ids, press._cache = torch.tensor([ids]), full(model, prefilled).fork().cache
    turn = "<|im_end|>\n<|im_start|>assistant\n" if tokenizer.chat_template else "\n"
    press._suffix_ids = tokenizer.encode(turn, return_tensors="pt", add_special_tokens=False)
    for layer in model.model.layers:
        layer.self_attn.rotary_emb = model.model.rotary_emb
        layer.self_attn.masked_key_indices = None
    press._perform_kvzip_compression(model, tokenizer)
    return press.score_val


def zipped(model, prefilled: Prefilled, budget: float) -> Held:
    """What KVzip leaves: it masks the lowest scores of all layers and heads together."""
    press = KVzipPress(compression_ratio=1 - budget)
    press.score_val = prefilled.scores["kvzip"].clone()
    press.compress_post(model)
    masked = [layer.self_attn.masked_key_indices for layer in model.model.layers]
    whole = full(model, prefilled)
    evicted_rows = sum(len(tokens) for _, _, tokens in masked)
    head_dim = prefilled.cache.layers[0].keys.shape[-1]
    return Held(whole.cache, whole.near_bytes - evicted_rows * 2 * head_dim * SHORT_BYTES, masked)


def full(model, prefilled: Prefilled) -> Held:
    """Everything, in 16 bits."""
    return Held(prefilled.cache, sum(row_bytes(layer.keys) for layer in prefilled.cache.layers))


def evicted(model, prefilled: Prefilled, press: BasePress) -> Held:
    """What `press` leaves of a prompt."""
    cache, masked, near_bytes = DynamicCache(), [], 0
    for index, layer in enumerate(prefilled.cache.layers):
        module = model.model.layers[index].self_attn
        module.masked_key_indices = None
        keys, values = press.compress(module, None, layer.keys, layer.values, None, {})
        cache.update(keys, values, index)
        masked.append(module.masked_key_indices)
        near_bytes += row_bytes(keys)
        if masked[-1] is not None:
            near_bytes -= len(masked[-1][0]) * 2 * keys.shape[-1] * SHORT_BYTES
    return Held(cache, near_bytes, masked)


def quantised(model, held: Held, bits: int, by_channel: bool = False) -> Held:
    """What `held` holds, in `bits` bits: groups of 64 numbers with a scale and a shift.

    A group is one token's head; by_channel: one channel of 64 tokens for keys, as KIVI has it, and
    the newest tokens stay exact. Without, transformers codes the whole prompt.
    """
    axis = -1 if by_channel else 0
    cache = QuantizedCache("quanto", model.config, nbits=bits, axis_key=axis)
    near_bytes = 0
    for index, layer in enumerate(held.cache.layers):
        tokens = layer.keys.shape[2]
        coded = tokens // 64 * 64 - EXACT_TOKENS if by_channel else tokens
        cache.update(layer.keys[:, :, :coded], layer.values[:, :, :coded], index)
        if coded < tokens:
            cache.update(layer.keys[:, :, coded:], layer.values[:, :, coded:], index)
        ours = cache.layers[index]
        near_bytes += code_bytes(ours._quantized_keys) + code_bytes(ours._quantized_values)
        near_bytes += row_bytes(layer.keys[:, :, coded:])
    return Held(cache, near_bytes)


def row_bytes(keys: torch.Tensor) -> int:
    """Bytes of the keys [1, kvHeads, tokens, headDim] and as many values, in 16 bits."""
    return 2 * keys.numel() * SHORT_BYTES


def code_bytes(codes) -> int:
    """Bytes of packed codes, and of their scales and shifts in 16 bits."""
    packed = codes._data._data
    return packed.numel() + (codes._scale.numel() + codes._shift.numel()) * SHORT_BYTES


@dataclass(frozen=True)
class Mode:
    """A rival at a budget: the share of the prompt's 16-bit cache that may stay."""

    name: str
    needs: str | None  # the scores that it evicts by
    make: Callable[[object, Prefilled], Held]


def modes(rivals: list[str], budgets: list[float]) -> list[Mode]:
    """The uncut cache, and every rival at every budget; quantised ones have what bits they have."""
    made = [Mode("full-torch", None, full)]
    for rival in rivals:
        if rival in QUANTISED:
            made.append(Mode(rival, None, _quantiser(*QUANTISED[rival])))
        else:
            made.extend(filter(None, (_evictor(rival, budget) for budget in budgets)))
    return made


# Bits, and whether keys are coded by channel.
QUANTISED = {
    "quanto-4": (4, False),
    "quanto-2": (2, False),
    "kivi-4": (4, True),
    "kivi-2": (2, True),
}
RIVALS = ["window", *SCORERS, "adakv", "kvzip", "expected+quanto-4", *QUANTISED]
RATIO_4_BITS = (4 + 2 * 16 / 64) / 16  # of quanto-4


def _quantiser(bits: int, by_channel: bool):
    return lambda model, prefilled: quantised(model, full(model, prefilled), bits, by_channel)


def _evictor(rival: str, budget: float) -> Mode | None:
    def made(needs, make):
        return Mode(f"{rival}-{budget}", needs, make)

    def press(prefilled, name, share):
        return Scored(compression_ratio=1 - share, layers=prefilled.scores[name])

    if rival == "window":
        window = StreamingLLMPress(compression_ratio=1 - budget)
        return made(None, lambda model, prefilled: evicted(model, prefilled, window))
    if rival == "kvzip":
        return made("kvzip", lambda model, prefilled: zipped(model, prefilled, budget))
    if rival == "adakv":  # over the strongest scores
        return made(
            "expected",
            lambda model, prefilled: evicted(
                model, prefilled, AdaKVPress(press(prefilled, "expected", budget))
            ),
        )
    if rival == "expected+quanto-4":
        share = budget / RATIO_4_BITS
        if share >= 1:
            return None
        return made(
            "expected",
            lambda model, prefilled: quantised(
                model, evicted(model, prefilled, press(prefilled, "expected", share)), 4
            ),
        )
    return made(
        rival,
        lambda model, prefilled: evicted(model, prefilled, press(prefilled, rival, budget)),
    )
