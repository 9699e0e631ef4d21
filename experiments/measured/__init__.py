"""Artefacts of trained runs: what they need is trained like Table 1's, each run is measured once, tables follow."""
