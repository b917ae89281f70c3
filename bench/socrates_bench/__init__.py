"""Benchmarks: each measures one thing and prints a record that can be compared over machines and commits."""
