"""Speed benchmarks: peers side by side in one process, CPU seconds and ratios."""

import os

from three_hundred_maps.builder.executors import ONE_THREAD

for _variable, _one in ONE_THREAD.items():
    os.environ.setdefault(_variable, _one)  # before numpy is imported, that each has one thread
