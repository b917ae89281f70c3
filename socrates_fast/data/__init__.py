"""Survey answers: their schema, where they come from, their scales, and how they are split."""
