"""Signed HTTP/1.1 requests to one endpoint, each sent once.

May import config and errors. Read in this order: endpoint (the address, as plain values), proxy, tls · addresses (DNS),
connection (one request at a time), dialer (opens connections), pool (keeps them), splice (joins two of them) · sigv4
(signatures), route (builds the bytes of a request).
"""
