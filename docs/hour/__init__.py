"""The scripted hour: real SDKs, strategy by strategy, through the same hour of faults.

`scene` is the hour as data. `servers` are the providers: emulated servers, the real SDKs before
them, and the time a call takes. `play` asks every request under a strategy, `recount` adds up the
trails and holds them against what the chain counted, `page` and `picture` show it. `make hour`
plays all of it and writes `strategies-hour.md` and `hour.svg`.
"""
