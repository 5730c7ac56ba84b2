"""The leaderboard: a static site made from results alone."""

from benchmarks.leaderboard.render import render

__all__ = ["render"]
