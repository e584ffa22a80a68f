"""The Runs page: one entry a run."""
