"""The client of one bucket: sends requests until there is a reply, with as many in flight as the server takes.

May import transport, errors and backoff. Read in this order: client (`Client.request` is the hot path) · pacing (limits
and retries) · meter (what the requests are doing) · circuit_breaker (when the endpoint is dead) · recovery
(credentials, clock, region) · spare_headers (those that a request can do without).
"""
