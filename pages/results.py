"""Results: what the experiments say, the short answer first, every experiment folded."""

from app.course import results

results.show()
