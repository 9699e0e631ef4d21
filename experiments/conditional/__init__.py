"""make conditional: classes drawn by a CLEL that was trained without labels (CLEL Section 4.3, Figure 3)."""
