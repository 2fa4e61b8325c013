"""Rows as eval/rows.ts declares them, from what documents lost; and a table of them."""

import math
import random

RESAMPLINGS = 1000
Z = 1.959964  # of 95 %


def report(model: str, losses: list[dict]) -> dict:
    """A whole evaluation: one row for each task, length and mode."""
    groups = grouped(losses, lambda it: (it["task"], it["tokens"], it["mode"]))
    return {
        "model": model,
        "seed": min((it["seed"] for it in losses), default=0),
        "rows": [row(*key, group) for key, group in groups.items()],
        "places": [place(it) for it in losses if it["depth"] is not None],
        "heads": [],
    }


def grouped(losses, key) -> dict:
    groups = {}
    for loss in losses:
        groups.setdefault(key(loss), []).append(loss)
    return groups


def row(task: str, tokens: int, mode: str, group: list[dict]) -> dict:
    """What `mode` lost on these documents."""
    steps = sorted(it for loss in group for it in loss["kl"])
    asked = [loss["recalled"] for loss in group if loss["recalled"] is not None]
    near = [loss["nearBytes"] for loss in group]
    means = {
        "klMean": lambda some: pooled(some, "kl"),
        "top1": lambda some: pooled(some, "same"),
        "perplexity": lambda some: math.exp(pooled(some, "surprise")),
    }
    right, all_steps = sum(sum(loss["same"]) for loss in group), len(steps)
    return {
        "task": task,
        "tokens": tokens,
        "mode": mode,
        "n": len(group),
        "recall": sum(asked) / len(asked) if asked else None,
        "klMean": means["klMean"](group),
        "klP99": steps[math.ceil(0.99 * all_steps) - 1],
        "klMax": steps[-1],
        "top1": means["top1"](group),
        "perplexity": means["perplexity"](group),
        # Of guesses, codes and fetches, which no rival has.
        "guessRight": None,
        "guessRightBySource": {"chain": None, "lookup": None},
        "mass": None,
        "lostMass": None,
        "ratio": sum(it["nearBytes"] / it["fullBytes"] for it in group) / len(group),
        "nearBytes": sum(near) / len(near),
        "tokensPerStep": 1,
        "prefetchedRows": 0,
        "lateRows": 0,
        "intervals": {
            "recall": wilson(sum(asked), len(asked)) if asked else None,
            "klMean": bootstrap(group, means["klMean"]),
            "top1": wilson(right, all_steps),
            "perplexity": bootstrap(group, means["perplexity"]),
        },
    }


def place(loss: dict) -> dict:
    return {
        **{name: loss[name] for name in ("task", "mode", "tokens", "depth", "recalled")},
        "klMean": pooled([loss], "kl"),
    }


def pooled(group, name: str) -> float:
    """Mean over all steps of these documents."""
    return sum(sum(loss[name]) for loss in group) / sum(len(loss[name]) for loss in group)


def wilson(right: int, n: int) -> dict:
    """95 % interval of a share."""
    share, extra = right / n, Z * Z / n
    middle = (share + extra / 2) / (1 + extra)
    half = Z / (1 + extra) * math.sqrt(share * (1 - share) / n + extra / (4 * n))
    return {"low": max(0, middle - half), "high": min(1, middle + half)}


def bootstrap(group, mean) -> dict:
    """95 % interval of `mean` over documents, the same for the same documents."""
    draws = random.Random(0)
    drawn = sorted(mean(draws.choices(group, k=len(group))) for _ in range(RESAMPLINGS))
    return {"low": drawn[RESAMPLINGS // 40], "high": drawn[-1 - RESAMPLINGS // 40]}


def table(losses: list[dict]) -> str:
    """A table in Markdown, modes by task; tasks together at the end."""
    head = ["task", "mode", "near", "KL, 95 %", "p99", "top-1", "perplexity", "recall"]
    lines = [head, ["---"] * len(head)]
    pairs = [*losses, *({**loss, "task": "all"} for loss in losses)]
    for (task, mode), group in grouped(pairs, lambda it: (it["task"], it["mode"])).items():
        it = row(task, 0, mode, group)
        kl = it["intervals"]["klMean"]
        asked = sum(loss["recalled"] is not None for loss in group)
        lines.append([
            task,
            mode,
            f"{it['ratio']:.3f}",
            f"{it['klMean']:.4f} ({kl['low']:.4f} to {kl['high']:.4f})",
            f"{it['klP99']:.3f}",
            f"{it['top1']:.3f}",
            f"{it['perplexity']:.3f}",
            "" if not asked else f"{round(it['recall'] * asked)} of {asked}",
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
