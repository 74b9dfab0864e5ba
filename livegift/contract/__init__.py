"""What crosses a boundary, typed once: messages, events, journal entries, errors."""
