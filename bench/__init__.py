"""Benchmarks. Each prints the machine, the versions and the commands beside its figures."""
