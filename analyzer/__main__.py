"""`python -m analyzer` is `lostsyn`."""

from analyzer.cli import main

if __name__ == "__main__":
    main()
