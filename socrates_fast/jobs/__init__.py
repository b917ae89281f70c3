"""Whole-file jobs: a file of rows in, a file of answer distributions out, streamed and resumable."""
