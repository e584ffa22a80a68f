"""What chapters show and work with: the derivation, the two levers, the failures."""
