"""Engines that solve the allocation problem: one exact and fast, two to agree with it."""
