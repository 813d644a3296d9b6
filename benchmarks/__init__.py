"""Measurements of ours against others, as docs/benchmarks.md says. Run from a clone; never installed."""
