"""Short trainings that a reader starts: two levers on one batch, seven failures reproduced."""
