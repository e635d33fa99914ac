"""The web server: HTTP/1.1 on an event loop (uvloop, httptools), the application in rooms (docs/decisions/0017, 0040).

Everything that waits for clients waits on the loop: headers, bodies, idle connections, streams, long polls. The
application is called only for a request that has arrived as a whole: on the loop, where it waits for our servers
alone, or in a thread.
"""
