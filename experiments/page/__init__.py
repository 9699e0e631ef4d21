"""The results as pages of HTML: one a folder of results, one a run, and one over all folders."""
