"""Speed and memory, measured; run one as `python -m benchmarks.losses`."""
