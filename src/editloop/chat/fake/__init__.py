"""A server that speaks the chat protocol and fails as real ones do; its answers are injected."""
