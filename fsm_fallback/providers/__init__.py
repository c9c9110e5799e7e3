"""The border to the outside: what a provider is, and what its errors mean."""
