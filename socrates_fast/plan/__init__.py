"""What a recipe will take, before anything starts: parameters, tokens, FLOPs, hours, memory, disk, downloads.

Everything here is an estimate from published figures and stated assumptions; ``docs/planning.md`` shows how far the same
formulas are from runs that others published. Nothing is loaded or downloaded, and no GPU is asked.
"""
