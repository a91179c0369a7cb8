"""A local server for any OpenAI client: it seals what the client asks, and checks what comes back."""
