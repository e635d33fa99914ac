"""The web server: HTTP/1.1 on an event loop (uvloop, httptools), the application in threads (docs/decisions/0017).

Everything that waits for clients waits on the loop: headers, bodies, idle connections, streams, long polls. A thread
of the application is taken only for a request that has arrived as a whole.
"""
