"""What decides: no sockets are opened here, and time is always passed in."""
