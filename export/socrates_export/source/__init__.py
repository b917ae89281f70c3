"""What is exported: a base model's folder, a LoRA adapter, and their merge."""
