"""Kinds of table: how rows become the numbers that enter the graph."""
