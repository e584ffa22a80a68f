"""The Inspect page: the solution of the address and what can be asked of it, a module a section."""
