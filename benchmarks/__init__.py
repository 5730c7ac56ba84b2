"""The benchmark: metrics, submissions, scores and the leaderboard."""
