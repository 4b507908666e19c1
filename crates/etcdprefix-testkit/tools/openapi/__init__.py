"""The parts of `openapi_server.py`."""
