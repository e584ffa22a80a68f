"""What a recorded solution says: its numbers read off its trace, its text made visible, which one to look at. NumPy
only.
"""
