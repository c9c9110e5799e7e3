"""The executable spec: guarantees by number in README.md, claims as classes in `spec_*.py`."""
