"""How a training went: ``log.jsonl`` read back, and drawn as a page of its own and in the run's report.

Drawn as plain SVG without matplotlib, whose import alone takes longer than a picture may hold up a training.
"""
