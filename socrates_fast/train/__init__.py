"""Training: the built-in base model and QLoRA fine-tuning (Unsloth is imported here only, and first)."""
