"""The pages: review, explore, chat, network. Each is a template and a function that also answers JSON."""
