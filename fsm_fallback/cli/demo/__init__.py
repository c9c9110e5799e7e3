"""`fsm-fallback demo`: real SDKs through a scripted outage on loopback, fully accounted for.

`outage` is the script, as data. `sdks` are the providers, `traffic` the callers. `scene` is what
has happened so far, `plain` and `live` show it. `accounting` says what is missing at the end,
`summary` what the numbers are. `command` puts them together.
"""
