"""Recognising a learning rule from weights or activities (Nayebi et al. 2020)."""
