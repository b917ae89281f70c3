"""llama.cpp's own converter, run on many folders in one process: its imports take longer than the work."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_DRIVER = """
import json, logging, runpy, sys
from pathlib import Path
source, jobs = Path(sys.argv[1]), json.loads(sys.stdin.read())
sys.path[:0] = [str(source / "gguf-py"), str(source)]
for folder, kind, target in jobs:
    sys.argv = [str(source / "convert_hf_to_gguf.py"), folder, "--outfile", target, "--outtype", kind]
    runpy.run_path(sys.argv[0], run_name="__main__")
    logging.getLogger().handlers.clear()
"""


def convert(llama_cpp: Path, jobs: Sequence[tuple[Path, str, Path]]) -> None:
    """Convert each folder to a type (``f16``) and a file."""
    import json

    asked = json.dumps([[str(folder), kind, str(target)] for folder, kind, target in jobs])
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, str(llama_cpp)],
        input=asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert all(target.is_file() for _, _, target in jobs)
