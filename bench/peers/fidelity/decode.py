"""Decoding behind what a rival holds, and what it lost against the uncut cache."""

import torch

from rivals import Held, Prefilled

STEPS_MAX = 80
# Of a rival's continuation, behind the place where `full` had given the answer; where it had not,
# behind the beginning.
ANSWER_TOKENS = 16


def feed(model, held: Held, ids: list[int], start: int) -> torch.Tensor:
    """Runs `ids` at the positions from `start` on: logits [ids, vocabulary].

    All in one pass: rivals change nothing of their cache while fewer than 128 tokens are decoded,
    so this gives what single steps give.
    """
    for index, layer in enumerate(model.model.layers):
        layer.self_attn.masked_key_indices = held.masked and held.masked[index]
    positions = torch.arange(start, start + len(ids))[None]
    return model(
        torch.tensor([ids]), past_key_values=held.cache, position_ids=positions
    ).logits[0]


def greedy(model, held: Held, begun: list[int], start: int, tokens: int, ended) -> list[int]:
    """Continues `begun`, whose first token stands at `start`, to at most `tokens` tokens.

    Ends earlier behind the end of a text, or where `ended(ids)`.
    """
    held, ids, fed = held.fork(), list(begun), 0
    while len(ids) < tokens and ids[-1] not in stops(model) and not ended(ids):
        logits = feed(model, held, ids[fed:], start + fed)
        fed = len(ids)
        ids.append(int(logits[-1].argmax()))
    return ids


def stops(model) -> list[int]:
    """Ids that end a text."""
    ids = model.config.eos_token_id
    return ids if isinstance(ids, list) else [ids]


def target_of(model, held: Held, prefilled: Prefilled, document) -> list[int]:
    """The tokens that all are fed: the document's, else what the uncut cache gives here."""
    if document.get("target"):
        return document["target"][:STEPS_MAX]
    first = [int(prefilled.logits.argmax())]
    return greedy(model, held, first, prefilled.tokens, STEPS_MAX, lambda ids: False)


def compare(logits: torch.Tensor, truth: torch.Tensor, fed: list[int]) -> dict:
    """Loss of each step: logits [steps, vocabulary] of a rival against those of `full`.

    `fed` are the tokens that came next.
    """
    ours, full = (it.double().log_softmax(-1) for it in (logits, truth))
    return {
        "kl": (full.exp() * (full - ours)).sum(-1).clamp(min=0).tolist(),
        "same": (ours.argmax(-1) == full.argmax(-1)).tolist(),
        "surprise": (-ours[range(len(fed)), fed]).tolist(),
    }


def recalled(model, held, logits, target, start, answers, decode) -> bool:
    """Whether the rival's own greedy text holds all the answers.

    As long as it agrees with the target its text is known from the `logits` of the comparison.
    """

    def found(ids):
        text = decode(ids)
        return all(it in text for it in answers)

    needed = next((n for n in range(1, len(target) + 1) if found(target[:n])), ANSWER_TOKENS)
    chosen = logits.argmax(-1).tolist()
    agreed = next((at for at, id in enumerate(chosen) if id != target[at + 1]), len(chosen))
    begun = [*target[: agreed + 1], *chosen[agreed : agreed + 1]]
    tokens = needed + ANSWER_TOKENS
    if len(begun) < tokens and not found(begun):
        begun = greedy(model, held, begun, start, tokens, found)
    return found(begun[:tokens])
