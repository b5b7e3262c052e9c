"""Kirchhoff structure around the memory cells: crossbars with wires that have resistance."""
