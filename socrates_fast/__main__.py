"""``python -m socrates_fast``: the same command as ``socrates-fast``."""

from socrates_fast.cli import main

if __name__ == "__main__":
    main()
