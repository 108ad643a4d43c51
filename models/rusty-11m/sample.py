"""Print samples of the exported model, from Hugging Face transformers on the CPU.

    python sample.py MODEL_DIR [--tokens 120] > samples.md
"""

import argparse

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

PROMPTS = ["Ownership is", "A trait in Rust", "The borrow checker", "Rust is a", "To read a file in Rust,", "# Lifetimes\n\n",
           "A `Vec<T>` is", "```rust\nfn main() {\n"]
# The last six are not in the training data in these words.
QUESTIONS = ["Hello!", "Who are you?", "What is ownership?", "What does `Vec::push` do?", "What does error E0382 mean?",
             "What is the difference between String and &str?", "What does the `async` keyword do?",
             "Please explain ownership to me", "what is a hash map good for", "What does Option::map do?",
             "How can I share a value between two threads?", "Why does my program not compile?", "What is a lifetime good for?"]


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("model")
    args.add_argument("--tokens", type=int, default=120)
    args = args.parse_args()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()

    prompts = [(p, p) for p in PROMPTS]
    for question in QUESTIONS:
        message = [{"role": "user", "content": question}]
        prompts.append((question, tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)))

    print("# Samples\n\nFrom transformers in f32, at most", args.tokens, "new tokens. The prompt is in bold.")
    modes = {"Greedy": dict(do_sample=False, temperature=None, top_p=None, top_k=None, repetition_penalty=1.0),
             "Temperature 0.4, top-p 0.9, top-k 40, repetition penalty 1.05, seed 42": dict(
                 do_sample=True, temperature=0.4, top_p=0.9, top_k=40, repetition_penalty=1.05)}
    # One batch a mode, padded on the left, which leaves each text as it would be alone.
    batch = tokenizer([text for _, text in prompts], padding=True, padding_side="left", add_special_tokens=False, return_tensors="pt")
    for name, options in modes.items():
        torch.manual_seed(42)
        with torch.inference_mode():
            out = model.generate(batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=args.tokens, **options)
        print(f"\n## {name}")
        for (prompt, text), ids in zip(prompts, out):
            body = tokenizer.decode(ids[batch["input_ids"].shape[1]:], skip_special_tokens=True).rstrip()
            shown = f"**{prompt}**\n{body}" if text != prompt else f"**{prompt.rstrip()}**{body if prompt == prompt.rstrip() else chr(10) + body}"
            print("\n~~~text\n" + shown + "\n~~~", flush=True)


if __name__ == "__main__":
    main()
