"""Detection of images out of distribution by the energies of trained runs: make ood."""
