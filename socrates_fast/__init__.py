"""Fine-tune a language model on survey answers, ship it as one GGUF, predict answers with it."""

__version__ = "0.1.0"
