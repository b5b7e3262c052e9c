"""Hidden units that compete for inputs: lateral inhibition, ranks, plasticity, all local.

Unsupervised learning after Krotov, Hopfield (2019), PNAS 116, 7723.
"""
