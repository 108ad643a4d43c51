"""Train the byte-level BPE on the corpus and write the token files that train.py reads.

    python prepare.py --corpus DIR --out DIR [--vocab 6144]

Writes OUT/tokenizer.json, OUT/{prose,std,code,chat}.{train,val}.npy (uint16, documents end in <|endoftext|>) and OUT/tokens.json.
"""

import argparse
import json
import pathlib

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TIERS = ("prose", "std", "code", "chat")
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# The pre-tokenizer of Qwen2: one digit a token, at most one leading character before a word, newlines together.
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def build_tokenizer(texts, vocab):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return tokenizer


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--corpus", type=pathlib.Path, required=True)
    args.add_argument("--out", type=pathlib.Path, required=True)
    args.add_argument("--vocab", type=int, default=6144)
    args = args.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = {tier: [json.loads(line) for line in (args.corpus / f"{tier}.jsonl").open()] for tier in TIERS}

    # Chat repeats what the other tiers say; the tokenizer learns from prose twice, as prose is what the model should write.
    learn = [row["text"] for tier in ("prose", "prose", "std", "code") for row in rows[tier] if row["split"] == "train"]
    tokenizer = build_tokenizer(learn, args.vocab)
    tokenizer.save(str(args.out / "tokenizer.json"))

    end = tokenizer.token_to_id("<|endoftext|>")
    report = {"vocabulary": tokenizer.get_vocab_size()}
    for tier in TIERS:
        for split in ("train", "val"):
            texts = [row["text"] for row in rows[tier] if row["split"] == split]
            ids = [token for enc in tokenizer.encode_batch(texts) for token in (*enc.ids, end)]
            np.save(args.out / f"{tier}.{split}.npy", np.array(ids, dtype=np.uint16))
            report[f"{tier}.{split}"] = {"tokens": len(ids), "characters_per_token": round(sum(map(len, texts)) / len(ids), 2)}
    (args.out / "tokens.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
