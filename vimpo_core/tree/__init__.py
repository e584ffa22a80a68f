"""A world small enough to enumerate: the oracle of the tests, both optima, and the derivation checked step by step."""
