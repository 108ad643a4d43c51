"""Assemble a Hugging Face model folder from the output of prepare.py and train.py.

    python export.py --data DIR --run DIR --out DIR [--dtype float32|bfloat16]
"""

import argparse
import json
import pathlib
import shutil

import torch
from safetensors.torch import load_file, save_file

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
NAME = "rusty-11m"


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", type=pathlib.Path, required=True)
    args.add_argument("--run", type=pathlib.Path, required=True)
    args.add_argument("--out", type=pathlib.Path, required=True)
    args.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    args = args.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    vocabulary = json.loads((args.data / "tokenizer.json").read_text())
    special = {token["content"]: token["id"] for token in vocabulary["added_tokens"]}
    shape = json.loads((args.run / "model.json").read_text())
    tensors = {}
    for shard in sorted(args.run.glob("model-*.safetensors")):
        tensors |= {name: t.to(getattr(torch, args.dtype)) for name, t in load_file(shard).items()}
    save_file(tensors, args.out / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(args.data / "tokenizer.json", args.out / "tokenizer.json")
    end, turn = special["<|endoftext|>"], special["<|im_end|>"]
    write_json(args.out / "config.json", {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "_name_or_path": NAME, "hidden_act": "silu",
        "attention_dropout": 0.0, "initializer_range": 0.02, "tie_word_embeddings": True, "use_cache": True,
        "use_sliding_window": False, "bos_token_id": end, "eos_token_id": end, "torch_dtype": args.dtype, **shape})
    write_json(args.out / "generation_config.json", {
        "bos_token_id": end, "eos_token_id": [turn, end], "pad_token_id": end, "do_sample": True, "temperature": 0.4,
        "top_p": 0.9, "top_k": 40, "repetition_penalty": 1.05})
    write_json(args.out / "tokenizer_config.json", {
        "tokenizer_class": "Qwen2Tokenizer", "model_max_length": shape["max_position_embeddings"], "add_prefix_space": False,
        "add_bos_token": False, "bos_token": None, "unk_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False, "errors": "replace", "split_special_tokens": False,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "chat_template": CHAT_TEMPLATE,
        "added_tokens_decoder": {str(i): {"content": c, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                                          "special": True} for c, i in special.items()}})
    print(f"{args.out}: {sum(t.numel() for t in tensors.values()):,} parameters")


if __name__ == "__main__":
    main()
