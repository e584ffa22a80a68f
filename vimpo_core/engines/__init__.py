"""Training on engines of others, and the traces that they leave for this lab to read."""
