"""Speed benchmarks: peers side by side in one process, CPU seconds and ratios."""
