"""What doctor says of a GGUF."""

import re
from pathlib import Path

from socrates_fast.doctor_model import checks
from socrates_fast.infer.probe import thread_candidates


def test_doctor_of_a_model(gguf_file: Path) -> None:
    (facts, line), (fits, memory), (loads, settings) = checks(gguf_file)
    assert facts and fits and loads
    assert "tiny, qwen2, F32, 1 MiB, trained for contexts of 2,048 tokens" in line
    assert "a token, 2,048 tokens" in memory
    found = re.search(r"settings for this machine: threads (\d+), context 2,048, batch 512", settings)
    assert found and int(found[1]) in thread_candidates()


def test_doctor_of_a_broken_model(gguf_file: Path) -> None:
    broken = gguf_file.with_name("broken.gguf")
    broken.write_bytes(gguf_file.read_bytes()[:5000])
    ((ok, line),) = checks(broken)
    assert ok is False and "broken.gguf: truncated" in line
