"""That it is right: token ids, logits and answers against the original model."""
