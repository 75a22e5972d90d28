"""
HTTP: metrics, health, webhooks, reports, the API. It reads, and enqueues at most.

One module per concern, each with a `router` function that `reconciler.web.app` puts
together. FastAPI and uvicorn are imported when a server is made: a command that serves
nothing should not wait for them, nor keep them in memory.
"""

from reconciler.web.app import create_app
from reconciler.web.server import Server

__all__ = ["Server", "create_app"]
