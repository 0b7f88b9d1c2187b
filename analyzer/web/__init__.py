"""The upload application: `lostsyn serve`."""
