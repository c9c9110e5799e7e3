"""The pure core: tables, breaker, chain, strategies. No clock, randomness, lock or I/O in here."""
