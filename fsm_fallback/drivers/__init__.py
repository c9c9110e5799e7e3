"""The drivers: two loops that do what a chain asks, with plain calls and with `await`."""
