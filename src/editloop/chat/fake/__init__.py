"""A fake chat server with the protocol and failures of real ones; its answers are injected."""
