"""The bundles of many nodes: analysed on many machines, kept as one dataset, joined across nodes, told in one report."""
