"""Export: base safetensors + LoRA adapter -> merged GGUF, quantised, and checked against the original."""
