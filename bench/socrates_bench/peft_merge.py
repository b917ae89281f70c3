"""The merge that the export is compared with: PEFT's, to a folder of safetensors, in the base's own precision.

python -m socrates_bench.peft_merge BASE ADAPTER OUT
"""

import shutil
import sys
from pathlib import Path


def merge(base: Path, adapter: Path, out: Path) -> None:
    """Merge ``adapter`` into ``base`` and save the model, with the base's tokenizer, to ``out``."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16, local_files_only=True)
    PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, out / name)


if __name__ == "__main__":
    merge(*map(Path, sys.argv[1:4]))
