//! The keys of Hugging Face's `config.json` and `generation_config.json`.
