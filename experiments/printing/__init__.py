"""Numbers as text, tables and figures; what others have published."""
