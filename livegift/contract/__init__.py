"""The types of everything that crosses a boundary: messages, events, journal entries, errors."""
