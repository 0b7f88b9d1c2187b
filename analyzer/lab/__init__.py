"""Reproduce incidents on this machine's kernel, in network namespaces; standard library only.

A scenario is a function that makes traffic on the node of `analyzer.lab.node` and returns what the programs
themselves know of it. `analyzer.lab.experiment.conduct` runs one, with captures and side evidence around it.
"""
