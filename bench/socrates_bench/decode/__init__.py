"""``bench decode``: how fast a GGUF reads and writes, as llama-bench measures it, and what that is worth."""
