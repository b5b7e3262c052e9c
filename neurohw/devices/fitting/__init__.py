"""Devices fitted to measured pulse trains: traces, laws' curves, filter, spread, selection."""
