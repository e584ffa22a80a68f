"""From a declared rule to an update: the loss of a batch, the learned critic, the values of VinePPO. Imports torch."""
