"""How it is written: tensor types, arithmetic, and GGUF files."""
