"""Chains followed for many steps, under several protocols."""
