"""The audit trail: operators' acts."""
