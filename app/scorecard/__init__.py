"""The Scorecard page: a snapshot, a set of solutions, the measurement and the words beside it."""
