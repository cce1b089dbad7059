"""How a question is answered: candidates, their ranking, and the log."""
