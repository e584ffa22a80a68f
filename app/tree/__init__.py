"""The Tree lab page: its address, its numbers and its words."""
