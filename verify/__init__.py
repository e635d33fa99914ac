"""Black-box checks of a deployment of this API, or of another implementation of it (docs/verify.md).

It needs Python 3.11 or newer and nothing else: the standard library, and no code of the service.
"""
