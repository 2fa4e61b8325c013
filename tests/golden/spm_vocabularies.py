"""Writes spm_vocabularies.json: small byte-pair vocabularies of SentencePiece, trained on this
repository's texts, and the tokens that they give texts; also one of them as the tokenizer.json that
transformers would write, with the tokens that the Python package tokenizers gives.
Run: python3 tests/golden/spm_vocabularies.py (sentencepiece 0.2.3, tokenizers 0.23.3).
"""

import json
from io import BytesIO
from pathlib import Path

import sentencepiece as spm
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

HERE = Path(__file__).parent
TEXTS = [HERE.parents[1] / name for name in ("README.md", "docs/METHOD.md", "LICENSE")]
FOREIGN = ["Größe, Füße und Übermut: schöne Grüße.", "Où est-ce que l'été s'achève, là-bas ?"] * 20
CASES = [
    "The key cache is coded.",
    "hello world",
    " leading",
    "  two spaces  between  and after  ",
    "\n\tlines\r\n\n  indented\n",
    " ",
    "   ",
    "\n",
    "aaaaaaaaaaaaa",
    "ababababab baba",
    "====----====---------",
    "Grüße, 東京 👩‍👩‍👧 \u0085\ufeff\u00a0\t\r\n\0 end ",
    "été e\u0301te\u0301",
    "▁ is U+2581, and ▁▁ two of them",
    "<s>not special</s> <0x41> <unk>",
    "👍🏽" * 5,
    "x" * 300,
    "1234567890 3.14159",
    "ofthethe the  thethe",
]


def train(**options):
    lines = FOREIGN + [line for path in TEXTS for line in path.read_text().split("\n")]
    model = BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
        **options,
    )
    return spm.SentencePieceProcessor(model_proto=model.getvalue())


def kind(processor, id):
    if processor.is_unknown(id):
        return 2
    if processor.is_control(id):
        return 3
    return 6 if processor.is_byte(id) else 1


def cases_of(encode, decode, texts):
    cases = []
    for text in texts:
        ids = encode(text)
        cases.append({"text": text, "ids": ids, "decoded": decode(ids)})
    return cases


def lines_of(processor):
    """Whole documents, longer than any buffer, beside the short cases."""
    return CASES + [TEXTS[2].read_text()]


def vocabulary(processor, prefix):
    ids = range(processor.get_piece_size())
    # Here a special token in a text is found, which SentencePiece does not do.
    texts = [text for text in lines_of(processor) if "<s>" not in text]
    return {
        "tokens": [processor.id_to_piece(id) for id in ids],
        "scores": [processor.get_score(id) for id in ids],
        "types": [kind(processor, id) for id in ids],
        "addSpacePrefix": prefix,
        "cases": cases_of(processor.encode, processor.decode, texts),
    }


def tokenizer_json(processor):
    """As transformers converts a Llama vocabulary."""
    vocabulary = {processor.id_to_piece(id): id for id in range(processor.get_piece_size())}
    merges = []
    for token, id in vocabulary.items():
        if kind(processor, id) != 1:
            continue
        splits = [(token[:at], token[at:]) for at in range(1, len(token))]
        known = [pair for pair in splits if pair[0] in vocabulary and pair[1] in vocabulary]
        known.sort(key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
        merges += [(processor.get_score(id), pair) for pair in known]
    merges.sort(key=lambda merge: merge[0], reverse=True)
    tokenizer = Tokenizer(
        models.BPE(
            vocabulary,
            [pair for _, pair in merges],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False) for token in ("<unk>", "<s>", "</s>")]
    )
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    cases = cases_of(encode, tokenizer.decode, lines_of(processor))
    return {"json": json.loads(tokenizer.to_str()), "cases": cases}


def main():
    llama = train(vocab_size=700, byte_fallback=True, character_coverage=0.999)
    bare = train(vocab_size=400, add_dummy_prefix=False, character_coverage=0.999)
    golden = {
        "llama": vocabulary(llama, True),
        "bare": vocabulary(bare, False),
        "tokenizerJson": tokenizer_json(llama),
    }
    text = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))
    (HERE / "spm_vocabularies.json").write_text(text + "\n")


main()
